"""The interface of a library's storage: a folder (`folder_store`), or a server.

Everything else in this room works through it, and knows no SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clapgen.errors import ClapgenError
from clapgen.library.records import Changes, FileState, Nearby, Queries, Selection, Sound, VectorRows

VERSION = 1  # of the layout of the tables; raise it when older programs would misread them


@dataclass(frozen=True)
class Totals:
    """Sizes of a library. `indexed` vectors are in the index for fast search; `bytes` on disk, if that is known."""

    sounds: int
    vanished: int
    vectors: int
    seconds: float
    indexed: int
    bytes: int


class Store(Protocol):
    """Sounds, their vectors, and facts about the library, of which every change is a transaction.

    Paths are absolute, and may hold bytes that are not UTF-8 (as Python's surrogates). Ids are never given twice.
    Readers see a consistent state while another process writes, and the next call sees what it wrote.

    Every method raises `ClapgenError` if the store cannot be read or written.
    """

    location: str

    def facts(self) -> dict[str, str]:
        """Facts about the library: its version, its CLAP, the folders that were added."""

    def set_facts(self, facts: Mapping[str, str]) -> None:
        """Add or replace facts."""

    def states(self) -> dict[int, tuple[FileState, bool]]:
        """The file of every sound by id, and whether it has vanished."""

    def sounds(self, ids: Sequence[int]) -> list[Sound]:
        """The sounds with these ids, in this order; those that are no longer there are left out."""

    def all_sounds(self) -> Iterator[Sound]:
        """Every sound, in the order of the ids."""

    def write(self, changes: Changes) -> list[int]:
        """Apply all of the changes or none; returns the ids of the added sounds, in order."""

    def writing(self) -> AbstractContextManager[None]:
        """To be held while a process writes: a second writer gets an error that names the first."""

    def rows_of(self, sounds: Sequence[int]) -> VectorRows:
        """The vectors of some sounds."""

    def rows(self, whole: bool = False, batch: int = 65536) -> Iterator[VectorRows]:
        """All vectors, or only those of whole files, in batches."""

    def sample(self, count: int) -> VectorRows:
        """At most so many vectors of whole sounds that can be found, from all over the library."""

    def size(self) -> int:
        """How many sounds can be found: all but those that have vanished. Quick, also in a large library."""

    def nearest(self, queries: Queries, k: int, selection: Selection) -> list[list[Nearby]]:
        """For each row of `queries` (q, dim), of length 1, the k nearest sounds, best first.

        Cosines within 1e-6 are equal; equally near sounds are in the order of their ids.
        """

    def with_words(self, alternatives: Sequence[Sequence[str]], limit: int, selection: Selection) -> list[int]:
        """Ids of the sounds whose captions, tags or names have words, best first.

        Args:
            alternatives: for each word of the query, the words that count as it.
        """

    def totals(self) -> Totals:
        """Sizes of the library."""

    def tags(self) -> dict[str, int]:
        """How many sounds have each tag."""

    def check(self) -> Iterable[str]:
        """What is wrong with the store, each in words; empty if it is sound."""

    def tidy(self) -> None:
        """Called at the end of a run that wrote: brings what is derived from the tables up to date."""

    def close(self) -> None:
        """Release the store."""


def open_store(location: str | Path, create: bool = False) -> Store:
    """Open the library at a folder, or on the PostgreSQL server at `postgresql://…`.

    Raises:
        ClapgenError: there is none (and `create` is false), it is damaged, a newer clapgen made it, or its server
            cannot be reached.
    """
    if is_server(location):
        try:
            from clapgen.library.postgres import PostgresStore
        except ImportError as error:
            raise ClapgenError(
                f"a library on a PostgreSQL server needs psycopg and pgvector; run pip install 'clapgen[postgres]' "
                f"({' '.join(str(error).split())})."
            ) from error
        return PostgresStore(str(location), create)
    from clapgen.library.folder_store import FolderStore

    return FolderStore(location, create)


def is_server(location: str | Path) -> bool:
    """Whether this is the address of a server, not a folder."""
    return isinstance(location, str) and location.startswith(("postgresql://", "postgres://"))


def refuse_newer(location: str, version: str) -> None:
    """Raise `ClapgenError` if a library has a layout that this clapgen does not know."""
    if int(version) > VERSION:
        raise ClapgenError(
            f"the library {location} was made by a newer clapgen (version {version} of its layout, this one reads up "
            f"to {VERSION}); update clapgen."
        )
