"""Small values by key, in memory or on disk.

The store on disk is one SQLite file, safe for several processes and limited in size; the least recently used entries
are deleted first. Values carry a checksum: a corrupt value is treated as missing, and a corrupt file is replaced by an
empty one. A store that may not be written, such as that of another user, is read. Problems are logged, never raised:
what cannot be cached is recomputed next time.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from clapgen.errors import ClapgenError

logger = logging.getLogger(__name__)

FILE_NAME = "embeddings.sqlite"
CHECKSUM_BYTES = 16
KEYS_PER_QUERY = 500
SECONDS_PER_DAY = 86_400
LOCK_SECONDS = 30.0

T = TypeVar("T")


@dataclass(frozen=True)
class CacheInfo:
    """Size of a cache folder; `oldest` and `newest` are when entries were last used (seconds since 1970)."""

    folder: Path
    entries: int
    bytes: int
    limit_bytes: int
    oldest: float | None
    newest: float | None


class Store(Protocol):
    """Values (bytes) by key (bytes): `CacheFolder` on disk, or `MemoryStore`."""

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values of the keys that are stored."""

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Add or replace values."""


class MemoryStore:
    """A store that lasts as long as the object, for runs without a cache folder."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values of the keys that are stored."""
        return {key: self._values[key] for key in keys if key in self._values}

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Add or replace values."""
        self._values |= values


class CacheFolder:
    """Values (bytes) by key (bytes) in one folder, at most `limit_bytes` on disk.

    Raises:
        ClapgenError: the folder cannot be created.
    """

    def __init__(self, folder: str | Path, limit_bytes: int) -> None:
        self.folder, self.limit_bytes = Path(folder), limit_bytes
        self.file = self.folder / FILE_NAME
        self._unusable = False
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ClapgenError(f"cannot create the cache folder {folder}: {error.strerror or error}") from error

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values of the keys that are stored and intact; marks them as used now."""

        def read(database: sqlite3.Connection) -> dict[bytes, bytes]:
            found: dict[bytes, bytes] = {}
            for start in range(0, len(keys), KEYS_PER_QUERY):
                some = list(keys[start : start + KEYS_PER_QUERY])
                marks = ",".join("?" * len(some))
                rows = database.execute(f"SELECT key, value FROM entries WHERE key IN ({marks})", some).fetchall()
                found |= {key: value[CHECKSUM_BYTES:] for key, value in rows if _is_intact(key, value)}
                if not self.read_only:
                    database.execute(f"UPDATE entries SET used = ? WHERE key IN ({marks})", [time.time(), *some])
            return found

        return self._try(read) or {}

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Add or replace values; beyond the size limit, the least recently used entries are deleted."""
        if self.read_only:
            return
        now = time.time()
        rows = [(key, now, _checksum(key, value) + value) for key, value in values.items()]

        def write(database: sqlite3.Connection) -> None:
            database.executemany("INSERT OR REPLACE INTO entries (key, used, value) VALUES (?, ?, ?)", rows)

        self._try(write)
        self._make_room()

    def clear(self, older_than_days: float | None = None) -> int:
        """Delete all entries, or only those unused for some days; returns how many were deleted."""
        if older_than_days is not None and not older_than_days >= 0:
            raise ClapgenError(f"the age of entries to delete must be 0 days or more, not {older_than_days}.")
        if self.read_only:
            raise ClapgenError(f"the cache {self.folder} cannot be changed: permission denied.")
        before = math.inf if older_than_days is None else time.time() - older_than_days * SECONDS_PER_DAY
        return (
            self._try(lambda database: database.execute("DELETE FROM entries WHERE used < ?", [before]).rowcount) or 0
        )

    def info(self) -> CacheInfo:
        """Number of entries, size and age."""
        row = self._try(lambda d: d.execute("SELECT COUNT(*), MIN(used), MAX(used) FROM entries").fetchone())
        count, oldest, newest = row or (0, None, None)
        size = self.file.stat().st_size if self.file.exists() else 0
        return CacheInfo(self.folder, count, size, self.limit_bytes, oldest, newest)

    def _make_room(self) -> None:
        """Delete the least recently used tenth of the entries, or more if that is not enough."""

        def shrink(database: sqlite3.Connection) -> bool:
            size = _pragma(database, "page_count") * _pragma(database, "page_size")
            count = database.execute("SELECT COUNT(*) FROM entries").fetchone()[0]
            if size <= self.limit_bytes or not count:
                return False
            share = max(0.1, 1 - self.limit_bytes / size)
            oldest = "SELECT key FROM entries ORDER BY used, rowid LIMIT ?"
            database.execute(f"DELETE FROM entries WHERE key IN ({oldest})", [math.ceil(share * count)])
            return True

        while self._try(shrink):
            pass

    def _try(self, use: Callable[[sqlite3.Connection], T]) -> T | None:
        """Run one transaction; None if the file cannot be used. A corrupt file is replaced.

        After one failure the cache is disabled for this process, so we wait for a stuck lock only once.
        """
        for attempt in range(0 if self._unusable else 2):
            try:
                with self._open() as database:
                    return use(database)
            except sqlite3.OperationalError as error:  # locked for long, read-only, a full disk
                logger.warning("cache %s cannot be used, results are not cached: %s", self.file, error)
                self._unusable = True
                return None
            except sqlite3.DatabaseError as error:
                if attempt == 0 and not self.read_only:
                    logger.warning("cache %s is corrupt (%s); starting a new one", self.file, error)
                    self._remove()
        return None

    @property
    def read_only(self) -> bool:
        """Whether there is a store that this process may read but not change."""
        return self.file.exists() and not (os.access(self.folder, os.W_OK) and os.access(self.file, os.W_OK))

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        if self.read_only:
            # immutable: locks and journals need a folder that can be written
            address = f"{self.file.absolute().as_uri()}?mode=ro&immutable=1"
            with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
                yield database
            return
        # One connection per operation, so that a cache works in any thread and after a fork.
        with contextlib.closing(sqlite3.connect(self.file, timeout=LOCK_SECONDS, isolation_level=None)) as database:
            database.execute("PRAGMA synchronous = OFF")  # a power cut may corrupt values; checksums detect it
            database.execute("PRAGMA auto_vacuum = FULL")  # shrink the file when entries are deleted
            database.execute("BEGIN IMMEDIATE")
            database.execute("CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, used REAL, value BLOB)")
            database.execute("CREATE INDEX IF NOT EXISTS by_use ON entries (used)")
            yield database
            database.execute("COMMIT")  # not reached after an exception: closing rolls back

    def _remove(self) -> None:
        for suffix in ("", "-journal", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                Path(f"{self.file}{suffix}").unlink()


def _pragma(database: sqlite3.Connection, name: str) -> int:
    return int(database.execute(f"PRAGMA {name}").fetchone()[0])


def _checksum(key: bytes, value: bytes) -> bytes:
    return hashlib.blake2b(key + value, digest_size=CHECKSUM_BYTES).digest()


def _is_intact(key: object, value: object) -> bool:
    """Types are checked because SQLite columns accept any."""
    if not isinstance(key, bytes) or not isinstance(value, bytes):
        return False
    return value[:CHECKSUM_BYTES] == _checksum(key, value[CHECKSUM_BYTES:])
