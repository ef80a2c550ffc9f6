"""What long work and a terminal need from each other: a progress bar on stderr, and Ctrl-C at a safe moment."""

from __future__ import annotations

import signal
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def printable(
    text: str, keep: str = "", escape: Callable[[str], str] = lambda character: ascii(character)[1:-1]
) -> str:
    """Text with control characters written as escapes, so that a file name or a prompt cannot command the terminal.

    Args:
        keep: characters to leave as they are, such as line breaks.
        escape: how to write a character.
    """
    if text.isprintable():
        return text
    return "".join(
        escape(character) if _commands_terminal(character) and character not in keep else character
        for character in text
    )


def _commands_terminal(character: str) -> bool:
    # Cc: C0 and C1 controls; Bidi overrides reorder what is shown; separators break lines.
    return (
        unicodedata.category(character) in ("Cc", "Zl", "Zp")
        or "\u202a" <= character <= "\u202e"
        or ("\u2066" <= character <= "\u2069")
    )


@contextmanager
def progress(total: int | None, unit: str) -> Iterator[Callable[[int, str], None]]:
    """Show a progress bar on stderr and yield `update(done, description)`; nothing unless stderr is a terminal.

    `total` is None if it is not known.
    """
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
            completed = done if total is None else min(done, total)
            bar.update(task, completed=completed, description=escape(printable(description)))

        yield update


@contextmanager
def defer_keyboard_interrupt(wanted: bool = True) -> Iterator[None]:
    """Delay Ctrl-C until the block has finished, then raise KeyboardInterrupt; does nothing unless `wanted`."""
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
