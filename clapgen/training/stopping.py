"""Ctrl-C and SIGTERM (Slurm, Docker, a machine with a time limit) while a network is trained."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Raises KeyboardInterrupt at both signals, but not inside a `whole` block: only after it.

    One of several processes never raises, because the others may be in another step; it sets `requested`. A second
    signal inside a `whole` block raises at once, and sets `torn`: what the block changes may be incomplete.
    """

    def __init__(self, alone: bool) -> None:
        self.alone = alone
        self.requested = self.torn = self._inside = False

    def __enter__(self) -> StopSignals:
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():  # Python allows handlers nowhere else
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Let the block finish before a signal takes effect."""
        self._inside = True
        try:
            yield
        finally:
            self._inside = False
        if self.requested and self.alone:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self.requested = self.requested, True
        if not self.alone:
            return
        if self._inside and again:
            self.torn = True
        if not self._inside or again:
            raise KeyboardInterrupt
