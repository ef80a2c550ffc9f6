"""What commands say: results on stdout, progress and remarks on stderr, so that `--json` stays pure."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

PIPED_WIDTH = 200


def print_result(text: str) -> None:
    """Print one line of a result."""
    print(text, flush=True)


def print_warning(text: str) -> None:
    """Print one line that is not a result, such as a warning."""
    print(f"clapgen: {text}", file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Print one JSON value on one line, flushed, so that a reader of a long batch sees it at once."""
    print(json.dumps(value, ensure_ascii=False, allow_nan=False), flush=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; columns of numbers are set to the right."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console() if sys.stdout.isatty() else Console(width=PIPED_WIDTH)
    table = Table(box=None, pad_edge=False)
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(_is_number(row[index]) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def _is_number(text: str) -> bool:
    return text.strip("-+%.0123456789") == ""


@contextmanager
def spinner(what: str) -> Iterator[None]:
    """Show a spinner with `what` while the block runs; nothing when stderr is not a terminal.

    Such blocks import and load. Garbage is not collected meanwhile, and what they leave is never searched for any: with
    the thousands of modules that stay anyway, that would take a third of a short command's time.
    """
    from rich.console import Console

    collecting = gc.isenabled()
    gc.disable()
    try:
        with Console(stderr=True).status(what):
            yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()


@contextmanager
def progress(total: int, unit: str) -> Iterator[Callable[[int, str], None]]:
    """Show a bar on stderr and yield ``update(done, description)``; nothing when stderr is not a terminal."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    console = Console(stderr=True)
    shown = console.is_terminal
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, redirect_stdout=False, disable=not shown
    ) as bar:
        task = bar.add_task("", total=total)

        def update(done: int, description: str) -> None:
            bar.update(task, completed=min(done, total), description=escape(description))

        yield update
