"""The nearest sounds of a library on a server: candidates by an index or a scan there, and their exact cosines here."""

from __future__ import annotations

from clapgen.library.postgres_tables import PostgresTables
from clapgen.library.records import Nearby, Queries, Selection
from clapgen.library.scan import Considered, nearest_sounds

MIN_VECTORS = 50_000  # from which there is an index; below, a scan takes some 50 ms
FEW_SOUNDS = 20_000  # that pass a filter: they are scanned
MANY_QUERIES = 8  # from which reading the vectors once is quicker than a scan on the server for each
_CANDIDATES = 40  # vectors to begin with
_MOST_CANDIDATES = 8192
_EFFORT, _MOST_EFFORT = 100, 1000  # hnsw.ef_search: the usual one, and the largest that there is


def nearest(tables: PostgresTables, queries: Queries, k: int, selection: Selection) -> list[list[Nearby]]:
    """See `Store.nearest`; inside a transaction of the caller."""
    if k < 1:
        return [[] for _ in queries]
    considered = Considered(whole=selection.whole)
    by_index = tables.has_index() and (selection.is_everything or tables.count(selection, FEW_SOUNDS + 1) > FEW_SOUNDS)
    if not by_index and len(queries) >= MANY_QUERIES:
        return nearest_sounds(tables.selected_rows(selection), queries, k, considered)
    found = []
    for query in queries:
        ids = _candidates(tables, query, k, selection) if by_index else None
        if ids is None:
            ids = tables.nearest_exactly(query, k, selection)
        found += nearest_sounds(tables.rows_of(ids), query[None], k, considered)
    return found


def _candidates(tables: PostgresTables, query: Queries, k: int, selection: Selection) -> list[int] | None:
    """At least k sounds that are probably near; None if the index does not find so many."""
    count = max(_CANDIDATES, 4 * k)
    while count <= _MOST_CANDIDATES:
        ids = tables.nearest_probably(query, count, selection, min(max(count, _EFFORT), _MOST_EFFORT))
        if len(ids) >= k:
            return ids
        count *= 4
    return None
