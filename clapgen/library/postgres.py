"""A library on a PostgreSQL server with pgvector, for many machines at once. It is a schema of a database.

Readers see the state of the last transaction while another process writes. What a transaction has written stays, even
if the server or this process is killed.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence

import psycopg
from pgvector.psycopg import register_vector

from clapgen.errors import ClapgenError
from clapgen.library import postgres_search as searching
from clapgen.library.postgres_connection import connect, in_words, parse_address
from clapgen.library.postgres_tables import PostgresTables
from clapgen.library.records import Changes, FileState, Nearby, Queries, Selection, Sound, VectorRows
from clapgen.library.store import VERSION, Totals, refuse_newer

OLDEST_PGVECTOR = (0, 8)  # the first with iterative scans
_SOUNDS_PER_BATCH = 1000


class PostgresStore:
    """The library at `postgresql://…`, see `Store`; made if it is missing and `create` is true.

    It can be used from several threads. After the server went away, the next call connects again.
    """

    def __init__(self, location: str, create: bool = False) -> None:
        self._address = parse_address(location)
        self.location = self._address.shown
        self._lock = threading.RLock()
        self._is_writer = self._has_written = False
        self._size: tuple[str, int] | None = None  # and the revision that had it
        self._tables = PostgresTables(connect(self._address), self._address.schema)
        try:
            with self._guarded() as tables:
                self._find_or_create(tables, create)
                self._set_up(tables)
            refuse_newer(self.location, self.facts().get("version", "0"))
        except BaseException:
            self.close()
            raise

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
        """Held by the one process that writes. The server releases it when the connection ends, however it ends."""
        with self._guarded() as tables:
            holder = "this process" if self._is_writer else tables.lock()
        if holder is not None:
            raise ClapgenError(f"{holder} is writing to the library {self.location}; wait until it has finished.")
        self._is_writer = True
        try:
            yield
        finally:
            self._is_writer = False
            with contextlib.suppress(psycopg.Error):
                tables.unlock()

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
            return tables.sample(count)

    def size(self) -> int:
        """How many sounds can be found."""
        with self._reading() as tables:
            revision = tables.facts()["revision"]
            if self._size is None or self._size[0] != revision:
                totals = tables.totals()
                self._size = revision, totals.sounds - totals.vanished
            return self._size[1]

    def nearest(self, queries: Queries, k: int, selection: Selection) -> list[list[Nearby]]:
        """The k nearest sounds of each query."""
        with self._reading() as tables:
            return searching.nearest(tables, queries, k, selection)

    def with_words(self, alternatives: Sequence[Sequence[str]], limit: int, selection: Selection) -> list[int]:
        """Ids of the sounds whose texts have words, best first."""
        with self._reading() as tables:
            return tables.with_words(alternatives, limit, selection)

    def totals(self) -> Totals:
        """Sizes of the library."""
        with self._reading() as tables:
            return tables.totals()

    def tags(self) -> dict[str, int]:
        """How many sounds have each tag."""
        with self._reading() as tables:
            return tables.tags()

    def check(self) -> Iterable[str]:
        """What is wrong with the tables."""
        with self._reading() as tables:
            return list(tables.check(int(tables.facts()["dim"]))) if "dim" in tables.facts() else []

    def tidy(self) -> None:
        """Make the index if the library has become large; the server keeps it up to date."""
        with self._transaction("BEGIN") as tables:
            if not tables.has_index() and tables.vector_count() >= searching.MIN_VECTORS:
                tables.create_index(int(tables.facts()["dim"]))
            if self._has_written:
                tables.run("ANALYZE sounds, vectors")
        self._has_written = False

    def close(self) -> None:
        """Close the connection."""
        self._tables.database.close()

    def _find_or_create(self, tables: PostgresTables, create: bool) -> None:
        found = tables.exists()
        if found is None:
            raise ClapgenError(
                f"the schema {tables.schema} of {self.location} holds something else than a library; choose another "
                "one with ?schema=NAME."
            )
        if found:
            return
        if not create:
            raise ClapgenError(
                f"there is no library at {self.location}; make one with `clapgen library add {self.location} FOLDER`."
            )
        with self._transaction("BEGIN"):
            tables.lock_for_creation()
            if not tables.exists():
                self._install_extension(tables)
                self._set_up(tables)
                tables.create()
                tables.set_facts({"version": str(VERSION), "id": secrets.token_hex(4), "revision": ""})

    def _install_extension(self, tables: PostgresTables) -> None:
        if tables.extension():
            return
        try:
            tables.run("CREATE EXTENSION IF NOT EXISTS vector")
        except psycopg.Error as error:
            raise ClapgenError(
                f"the database of {self.location} lacks pgvector, and this user cannot add it; let an administrator "
                "install pgvector 0.8 or newer on the server and run CREATE EXTENSION vector in the database."
            ) from error

    def _set_up(self, tables: PostgresTables) -> None:
        """What every new connection needs."""
        version, schema = tables.extension() or ("0", "public")
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_PGVECTOR:
            raise ClapgenError(
                f"the database of {self.location} has pgvector {version}, and a library needs 0.8 or newer; update it, "
                "and run ALTER EXTENSION vector UPDATE."
            )
        tables.look_into(tables.schema, schema)
        register_vector(tables.database)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[PostgresTables]:
        with self._lock:
            try:
                if self._tables.database.closed:
                    self._connect_again()
                yield self._tables
            except psycopg.Error as error:
                raise in_words(error, self.location) from error

    def _connect_again(self) -> None:
        if self._is_writer:  # the lock went with the connection
            raise ClapgenError(
                f"the server of the library {self.location} went away; what was added before is kept; run the command "
                "again when it is back."
            )
        self._tables = PostgresTables(connect(self._address), self._address.schema)
        self._set_up(self._tables)

    def _reading(self) -> contextlib.AbstractContextManager[PostgresTables]:
        """One state of the library, however long the block takes."""
        return self._transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    @contextlib.contextmanager
    def _changing(self) -> Iterator[PostgresTables]:
        with self._transaction("BEGIN") as tables:
            yield tables
            tables.set_facts({"revision": secrets.token_hex(8)})
            self._has_written = True

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[PostgresTables]:
        with self._guarded() as tables:
            tables.run(begin)
            try:
                yield tables
                tables.run("COMMIT")
            except BaseException:
                with contextlib.suppress(psycopg.Error):
                    tables.run("ROLLBACK")
                raise
