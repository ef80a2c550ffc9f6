"""Terminal output of commands: results on stdout, everything else on stderr, so that `--json` stays valid."""

from __future__ import annotations

import gc
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from clapgen.errors import SIBLINGS
from clapgen.terminal import printable

PIPED_WIDTH = 200


LINE_BREAKS = "\n\t"


def print_result(text: str) -> None:
    """Print a result on stdout, usually one line."""
    print(printable(text, LINE_BREAKS), flush=True)


def print_warning(text: str) -> None:
    """Print one line on stderr that is not part of the result."""
    print(f"clapgen: {printable(text)}", file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Print a JSON value on one line and flush it, so that a program reading a long batch gets it immediately."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    print(printable(text, escape=lambda character: json.dumps(character)[1:-1]), flush=True)


class WarningHandler(logging.Handler):
    """Prints the warnings that clapgen's packages log as the command line prints its own."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one warning."""
        print_warning(record.getMessage())


def show_logged_warnings() -> None:
    """Print warnings that clapgen's packages log."""
    for package in ("clapgen", *SIBLINGS):
        logger = logging.getLogger(package)
        if not any(isinstance(handler, WarningHandler) for handler in logger.handlers):
            logger.addHandler(WarningHandler(logging.WARNING))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; numeric columns are right-aligned."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console() if sys.stdout.isatty() else Console(width=PIPED_WIDTH)
    table = Table(box=None, pad_edge=False)
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(_is_number(row[index]) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(printable(cell, LINE_BREAKS)) for cell in row))
    console.print(table)


def _is_number(text: str) -> bool:
    return text.strip("-+%.0123456789") == ""


def clock(seconds: float) -> str:
    """Seconds as 1:05 or 12:00:30, with tenths unless they are 0."""
    tenths = round(10 * seconds)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    second = f"{rest // 10:02d}" + (f".{rest % 10}" if rest % 10 else "")
    return f"{hours}:{minutes:02d}:{second}" if hours else f"{minutes}:{second}"


@contextmanager
def spinner(what: str) -> Iterator[None]:
    """Show a spinner with `what` while the block runs; nothing when stderr is not a terminal."""
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield


@contextmanager
def garbage_collector_off() -> Iterator[None]:
    """Turn the garbage collector off during imports, and exempt what they created from later collections.

    The thousands of modules stay loaded anyway; searching them takes a third of a short command's time.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
