"""A lock between processes. The operating system releases it when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def exclusive(path: Path, busy: Callable[[str], None]) -> Iterator[bool]:
    """Hold the lock file `path`, which is created, while the block runs.

    Args:
        busy: called with the name of the holder if another process has the lock. It may raise; if it returns, this
            process waits for the lock.

    Yields:
        Whether the lock is held: False where the file system has no locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield _acquire(descriptor, busy)
    finally:
        os.close(descriptor)  # and with it the lock


def _acquire(descriptor: int, busy: Callable[[str], None]) -> bool:
    if fcntl is None:
        return False
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy(os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return False
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
    return True
