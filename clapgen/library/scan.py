"""Exact search: the cosines of queries with every vector in memory, and the best sounds by them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from clapgen.library.records import Moment, Nearby, Queries, VectorRows

ROUNDING = 1e-6  # cosines closer than this are equal
MOST_MOMENTS = 3
_ROWS_PER_BLOCK = 8192  # converted to float32 at a time, so that memory stays that of float16
_QUERIES_PER_BLOCK = 64


def nearest_sounds(
    rows: VectorRows, queries: Queries, k: int, allowed: npt.NDArray[np.int64] | None, whole: bool
) -> list[list[Nearby]]:
    """The k nearest sounds of each query (q, dim), best first; see `Store.nearest`.

    Args:
        allowed: sorted ids of the sounds that are considered; all if None.
    """
    rows = _considered(rows, allowed, whole)
    if not len(rows) or k < 1:
        return [[] for _ in queries]
    starts = np.flatnonzero(np.r_[True, rows.sounds[1:] != rows.sounds[:-1]])
    found = []
    for first in range(0, len(queries), _QUERIES_PER_BLOCK):
        for cosines in _cosines(rows.vectors, queries[first : first + _QUERIES_PER_BLOCK]):
            best = np.maximum.reduceat(cosines, starts)
            order = best_first(best, rows.sounds[starts], k)
            found.append([_nearby(rows, cosines, starts, index, float(best[index])) for index in order])
    return found


def best_first(scores: npt.NDArray[np.float32], ids: npt.NDArray[np.int64], k: int) -> npt.NDArray[np.int64]:
    """Indices of the k largest scores; scores that are equal within `ROUNDING` are in the order of their ids."""
    rounded = np.round(scores.astype(np.float64) / ROUNDING)
    candidates = np.arange(len(scores))
    if k < len(scores):
        least = np.partition(rounded, len(scores) - k)[len(scores) - k]
        candidates = np.flatnonzero(rounded >= least)
    return candidates[np.lexsort((ids[candidates], -rounded[candidates]))][:k]


def joined(parts: Sequence[VectorRows]) -> VectorRows:
    """The rows of all parts."""
    parts = [part for part in parts if len(part)] or list(parts[:1])
    if len(parts) == 1:
        return parts[0]
    columns = ("ids", "sounds", "spans", "vectors")
    return VectorRows(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))


def chosen(rows: VectorRows, which: npt.NDArray[np.bool_]) -> VectorRows:
    """The rows where `which` is true."""
    return VectorRows(rows.ids[which], rows.sounds[which], rows.spans[which], rows.vectors[which])


def _considered(rows: VectorRows, allowed: npt.NDArray[np.int64] | None, whole: bool) -> VectorRows:
    if allowed is None and not whole:
        return rows
    which = np.ones(len(rows), dtype=bool)
    if allowed is not None:
        which &= np.isin(rows.sounds, allowed)
    if whole:
        which &= np.isnan(rows.spans[:, 0])
    return rows if which.all() else chosen(rows, which)


def _cosines(vectors: npt.NDArray[np.float16], queries: Queries) -> npt.NDArray[np.float32]:
    """(queries, vectors)"""
    cosines = np.empty((len(queries), len(vectors)), dtype=np.float32)
    for start in range(0, len(vectors), _ROWS_PER_BLOCK):
        block = vectors[start : start + _ROWS_PER_BLOCK].astype(np.float32)
        cosines[:, start : start + len(block)] = queries @ block.T
    return cosines


def _nearby(
    rows: VectorRows, cosines: npt.NDArray[np.float32], starts: npt.NDArray[np.int64], index: int, score: float
) -> Nearby:
    end = starts[index + 1] if index + 1 < len(starts) else len(rows)
    own = np.arange(starts[index], end)
    windows = own[~np.isnan(rows.spans[own, 0])]
    moments: list[Moment] = []
    for row in windows[np.argsort(-cosines[windows], kind="stable")]:
        start, stop = rows.spans[row]
        if all(stop <= other.start or start >= other.end for other in moments):
            moments.append(Moment(float(start), float(stop), min(1.0, float(cosines[row]))))
            if len(moments) == MOST_MOMENTS:
                break
    return Nearby(int(rows.sounds[starts[index]]), min(1.0, score), tuple(moments))
