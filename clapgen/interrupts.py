"""Ctrl-C that waits for the end of what must not be done by half."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def defer_keyboard_interrupt(wanted: bool = True) -> Iterator[None]:
    """Hold Ctrl-C back until the block is done, then raise KeyboardInterrupt; nothing unless `wanted`."""
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
