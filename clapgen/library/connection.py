"""Connections to the database of a library in a folder, and SQLite's errors in words."""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
from pathlib import Path

from clapgen.errors import ClapgenError

FILE_NAME = "library.sqlite"
LOCK_SECONDS = 30.0

_REASONS = {  # a part of SQLite's message → ours
    "full": "the disk of the library {} is full (what was added before is kept); free some space and run it again.",
    "locked": "another process has locked the library {}; wait until it has finished.",
    "readonly": "the library {} cannot be changed: it is read-only.",
    "unable to open": "the library {} cannot be opened: permission denied, or the disk is full.",
    "not a database": "the database of the library {} is damaged; make the library again.",
    "malformed": "the database of the library {} is damaged; see `clapgen library verify`.",
    "disk i/o": "the disk of the library {} cannot be read or written, or is full.",
}


def connect(folder: Path, location: str) -> tuple[sqlite3.Connection, bool]:
    """Open the database of a library, in WAL mode, and say whether it can only be read.

    Raises:
        ClapgenError: it cannot be opened, or is not a database.
    """
    file = folder / FILE_NAME
    read_only = not (os.access(folder, os.W_OK) and (not file.exists() or os.access(file, os.W_OK)))
    try:
        database = _opened_for_reading(file) if read_only else _open(file)
        database.execute(f"PRAGMA busy_timeout = {1000 * LOCK_SECONDS:.0f}")
        if not read_only:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")  # a killed process loses nothing that was committed
            database.execute("PRAGMA foreign_keys = ON")
        database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise in_words(error, location) from error
    return database, read_only


def in_words(error: sqlite3.Error, location: str) -> ClapgenError:
    """An error of SQLite in words, with what to do."""
    message = str(error).lower()
    reason = next((text for part, text in _REASONS.items() if part in message), None)
    return ClapgenError(reason.format(location) if reason else f"the library {location} cannot be used: {error}.")


_open = functools.partial(
    sqlite3.connect, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False
)  # transactions are begun and ended by us, in any thread


def _opened_for_reading(file: Path) -> sqlite3.Connection:
    address = f"{file.absolute().as_uri()}?mode=ro"
    with contextlib.suppress(sqlite3.OperationalError):
        database = _open(address, uri=True)
        database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        return database
    # In WAL mode even reading makes files, except with this promise that nobody writes.
    return _open(f"{address}&immutable=1", uri=True)
