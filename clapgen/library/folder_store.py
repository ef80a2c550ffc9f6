"""A library in a folder: SQLite as the truth, searched in memory or with an index derived from it.

The database is in WAL mode: readers see the state of the last transaction while another process writes, and a process
that is killed loses at most the transaction it was in.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from clapgen.errors import ClapgenError
from clapgen.files import exclusive_lock
from clapgen.library.connection import FILE_NAME, connect, in_words
from clapgen.library.index import find_index
from clapgen.library.nearest import Searcher
from clapgen.library.records import Changes, FileState, Nearby, Queries, Selection, Sound, VectorRows
from clapgen.library.store import VERSION, Totals, refuse_newer
from clapgen.library.tables import Tables

LOCK_NAME = "writer.lock"
_APPLICATION = 0x636C6170  # "clap": how we recognise our databases
_SOUNDS_PER_BATCH = 1000


class FolderStore:
    """The library at a folder, see `Store`; made if it is missing and `create` is true.

    It can be used from several threads. A folder that may not be written is read.
    """

    def __init__(self, folder: str | Path, create: bool = False) -> None:
        self.folder = Path(folder)
        self.location = str(folder)
        self._lock = threading.RLock()
        self._searcher = Searcher(self.folder)
        self._size: tuple[str, int] | None = None  # and the revision that had it
        if not (self.folder / FILE_NAME).is_file():
            self._refuse_or_create(create)
        database, self.read_only = connect(self.folder, self.location)
        self._tables = Tables(database, self.folder.resolve().parent)
        self._check_version()

    def facts(self) -> dict[str, str]:
        """Facts about the library."""
        with self._reading() as tables:
            return tables.facts()

    def set_facts(self, facts: Mapping[str, str]) -> None:
        """Add or replace facts."""
        with self._changing() as tables:
            tables.set_facts(facts)

    def states(self) -> dict[int, tuple[FileState, bool]]:
        """The file of every sound by id, and whether it has vanished."""
        with self._reading() as tables:
            return tables.states()

    def sounds(self, ids: Sequence[int]) -> list[Sound]:
        """The sounds with these ids, in this order."""
        with self._reading() as tables:
            return tables.sounds(ids)

    def all_sounds(self) -> Iterator[Sound]:
        """Every sound, in the order of the ids."""
        last = 0
        while True:
            with self._reading() as tables:
                batch = tables.sounds_after(last, _SOUNDS_PER_BATCH)
            if not batch:
                return
            yield from batch
            last = batch[-1].id

    def write(self, changes: Changes) -> list[int]:
        """Apply all of the changes or none."""
        with self._changing() as tables:
            return tables.write(changes)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Held by the one process that writes."""
        self._refuse_read_only()

        def busy(holder: str) -> None:
            raise ClapgenError(f"{holder} is writing to the library {self.location}; wait until it has finished.")

        with exclusive_lock(self.folder / LOCK_NAME, busy):
            yield

    def rows_of(self, sounds: Sequence[int]) -> VectorRows:
        """The vectors of some sounds."""
        with self._reading() as tables:
            return tables.rows_of(sounds)

    def rows(self, whole: bool = False, batch: int = 65536) -> Iterator[VectorRows]:
        """All vectors, or only those of whole files, in batches."""
        last = 0
        while True:
            with self._reading() as tables:
                rows = tables.rows(last, whole, batch)
            if not len(rows):
                return
            yield rows
            last = int(rows.ids[-1])

    def sample(self, count: int) -> VectorRows:
        """At most so many vectors of whole sounds, from all over the library."""
        with self._reading() as tables:
            return tables.rows_with(tables.whole_ids(count).tolist())

    def size(self) -> int:
        """How many sounds can be found."""
        with self._reading() as tables:
            revision = tables.facts()["revision"]
            if self._size is None or self._size[0] != revision:
                self._size = revision, int(tables.number("sounds") - tables.number("vanished"))
            return self._size[1]

    def nearest(self, queries: Queries, k: int, selection: Selection) -> list[list[Nearby]]:
        """The k nearest sounds of each query."""
        with self._reading() as tables:
            return self._searcher.nearest(tables, queries, k, selection)

    def with_words(self, alternatives: Sequence[Sequence[str]], limit: int, selection: Selection) -> list[int]:
        """Ids of the sounds whose texts have words, best first."""
        with self._reading() as tables:
            return tables.with_words(alternatives, limit, selection)

    def totals(self) -> Totals:
        """Sizes of the library."""
        with self._reading() as tables:
            sounds, vanished, vectors = (int(tables.number(what)) for what in ("sounds", "vanished", "vectors"))
            seconds = tables.number("seconds")
            index = find_index(self.folder, tables.facts()["id"])
        size = sum(file.stat().st_size for file in self.folder.iterdir() if file.is_file())
        return Totals(sounds, vanished, vectors, seconds, len(index) if index else 0, size)

    def tags(self) -> dict[str, int]:
        """How many sounds have each tag."""
        with self._reading() as tables:
            return tables.tags()

    def check(self) -> Iterable[str]:
        """What is wrong with the tables."""
        with self._reading() as tables:
            return list(tables.check(int(tables.facts()["dim"]))) if "dim" in tables.facts() else []

    def tidy(self) -> None:
        """Bring the index up to date, and fold the write-ahead log into the database."""
        with self._reading() as tables:
            self._searcher.update_index(tables)
        with self._guarded() as tables:
            tables.database.execute("PRAGMA optimize")
            tables.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the database."""
        self._tables.database.close()

    def _refuse_or_create(self, create: bool) -> None:
        if not create:
            raise ClapgenError(
                f"{self.folder} is not a library; make one with `clapgen library add {self.folder} FOLDER`."
                if self.folder.exists()
                else f"the library {self.folder} does not exist; make one with `clapgen library add LIBRARY FOLDER`."
            )
        if self.folder.is_file() or (self.folder.is_dir() and any(self.folder.iterdir())):
            raise ClapgenError(
                f"{self.folder} is not a library and not an empty folder; give the name of a new folder for the "
                "library first, then the sounds to add."
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ClapgenError(f"cannot create {self.folder}: {(error.strerror or str(error)).lower()}.") from error

    def _check_version(self) -> None:
        with self._guarded() as tables:
            found = tables.database.execute("PRAGMA application_id").fetchone()[0]
            empty = not tables.database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        if empty and not self.read_only:
            with self._changing(new=True) as tables:
                if not tables.database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
                    tables.create()
                    tables.database.execute(f"PRAGMA application_id = {_APPLICATION}")
                    tables.set_facts({"version": str(VERSION), "id": secrets.token_hex(4), "revision": ""})
            return
        if empty or found != _APPLICATION:
            raise ClapgenError(f"{self.folder / FILE_NAME} is not the database of a library.")
        refuse_newer(self.location, self.facts().get("version", "0"))

    def _refuse_read_only(self) -> None:
        if self.read_only:
            raise ClapgenError(f"the library {self.location} cannot be changed: its folder is read-only.")

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[Tables]:
        with self._lock:
            try:
                yield self._tables
            except sqlite3.Error as error:
                raise in_words(error, self.location) from error

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Tables]:
        """One state of the library, however long the block takes."""
        with self._transaction("BEGIN") as tables:
            yield tables

    @contextlib.contextmanager
    def _changing(self, new: bool = False) -> Iterator[Tables]:
        self._refuse_read_only()
        with self._transaction("BEGIN IMMEDIATE") as tables:
            yield tables
            if not new:
                tables.set_facts({"revision": secrets.token_hex(8)})

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[Tables]:
        with self._guarded() as tables:
            if tables.database.in_transaction:
                yield tables
                return
            tables.database.execute(begin)
            try:
                yield tables
                tables.database.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    tables.database.execute("ROLLBACK")
                raise
