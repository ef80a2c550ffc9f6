"""The nearest sounds of a library in a folder: by a scan, or by an index and a scan of what is newer than it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clapgen.library import index as indexing
from clapgen.library.index import VectorIndex
from clapgen.library.records import Nearby, Queries, Selection, VectorRows
from clapgen.library.scan import Considered, chosen, joined, nearest_sounds
from clapgen.library.tables import Tables

FEW_SOUNDS = 20_000  # that pass a filter: their vectors are read and scanned
_CANDIDATES = 40  # vectors to begin with, for each sound that is wanted
_MOST_CANDIDATES = 8192


class Searcher:
    """Searches the tables of a library; holds the vectors that no index has in memory.

    Every call is inside a transaction of the caller, and sees one state of the library.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index: VectorIndex | None = None
        self._held: VectorRows | None = None  # all vectors, or those newer than the index
        self._revision = ""

    def nearest(self, tables: Tables, queries: Queries, k: int, selection: Selection) -> list[list[Nearby]]:
        """See `Store.nearest`."""
        considered = Considered(tables.selected(selection), tables.excluded(selection), selection.whole)
        self._refresh(tables)
        if self.index is None:
            return nearest_sounds(self._rows, queries, k, considered)
        if considered.allowed is not None and len(considered.allowed) <= FEW_SOUNDS:
            return nearest_sounds(tables.rows_of(considered.allowed.tolist()), queries, k, considered)
        newer = nearest_sounds(self._rows, queries, k, considered)
        found = []
        for query, new in zip(queries, newer, strict=True):
            near = self._by_index(tables, query[None], k, considered)
            ids = sorted({nearby.sound for nearby in (*near, *new)})
            found += nearest_sounds(tables.rows_of(ids), query[None], k, considered)  # with all of their moments
        return found

    def _by_index(self, tables: Tables, query: Queries, k: int, considered: Considered) -> list[Nearby]:
        """The k nearest sounds among the candidates of the index, of which there are more until k are found."""
        assert self.index is not None
        count = max(_CANDIDATES, 4 * k)
        while True:
            [ids] = self.index.candidates(query, count)
            [found] = nearest_sounds(tables.rows_with(ids.tolist()), query, k, considered)
            if len(found) == k or count >= min(_MOST_CANDIDATES, len(self.index)):
                break
            count *= 4
        if len(found) < k and considered.allowed is not None:
            [found] = nearest_sounds(tables.rows_of(considered.allowed.tolist()), query, k, considered)
        return found

    @property
    def _rows(self) -> VectorRows:
        assert self._held is not None
        return self._held

    def _refresh(self, tables: Tables) -> None:
        """Hold the vectors that no index has. What has been read stays; only what others wrote since is read."""
        facts = tables.facts()
        revision = facts.get("revision", "")
        if self._held is not None and revision == self._revision:
            return
        last_indexed = self.index.last if self.index else 0
        if tables.number("last vector") >= indexing.MIN_VECTORS:
            self.index = indexing.find_index(self.folder, facts["id"])
        first = self.index.last if self.index else 0
        if first != last_indexed:
            self._held = None
        parts = [] if self._held is None else [chosen(self._held, np.isin(self._held.ids, tables.vector_ids(first)))]
        last = int(parts[0].ids[-1]) if parts and len(parts[0]) else first
        while len(rows := tables.rows(last, False, 65536)):
            parts.append(rows)
            last = int(rows.ids[-1])
        self._held = joined(parts) if parts else tables.rows(0, False, 0)
        self._revision = revision

    def update_index(self, tables: Tables) -> None:
        """Make the index if the library has become large, or again if it has changed much since."""
        facts, count = tables.facts(), int(tables.number("vectors"))
        if count < indexing.MIN_VECTORS or not indexing.can_index():
            return
        index = indexing.find_index(self.folder, facts["id"])
        if index is not None:
            newer = len(tables.vector_ids(index.last))
            deleted = len(index) - (count - newer)
            if newer <= indexing.NEW_SHARE * len(index) and deleted <= indexing.NEW_SHARE * len(index):
                return
        self.index = indexing.build_index(self.folder, facts["id"], count, tables.all_rows(), tables.sample_rows)
        self._held = None
