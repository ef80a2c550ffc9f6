"""Exact search: the cosines of queries with every vector in memory, and the best sounds by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from clapgen.library.records import Moment, Nearby, Queries, VectorRows

Ids = npt.NDArray[np.int64]

ROUNDING = 1e-6  # cosines closer than this are equal
MOST_MOMENTS = 3
_ROWS_PER_BLOCK = 8192  # converted to float32 at a time, so that memory stays that of float16
_QUERIES_PER_BLOCK = 64


@dataclass(frozen=True)
class Considered:
    """Which sounds a search considers: those `allowed` (sorted ids; all if None), but not those `excluded`.

    `whole`: only by the vectors of whole files.
    """

    allowed: Ids | None = None
    excluded: Ids = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    whole: bool = False

    def mask(self, rows: VectorRows) -> npt.NDArray[np.bool_] | None:
        """Whether each row counts; None if all do."""
        which = np.ones(len(rows), dtype=bool)
        if self.allowed is not None:
            which &= np.isin(rows.sounds, self.allowed)
        if len(self.excluded):
            which &= ~np.isin(rows.sounds, self.excluded)
        if self.whole:
            which &= np.isnan(rows.spans[:, 0])
        return None if which.all() else which


EVERYTHING = Considered()


def nearest_sounds(
    rows: VectorRows, queries: Queries, k: int, considered: Considered = EVERYTHING
) -> list[list[Nearby]]:
    """The k nearest sounds of each query (q, dim), best first; see `Store.nearest`."""
    if not len(rows) or k < 1:
        return [[] for _ in queries]
    mask = considered.mask(rows)
    starts = np.flatnonzero(np.r_[True, rows.sounds[1:] != rows.sounds[:-1]])
    found = []
    for first in range(0, len(queries), _QUERIES_PER_BLOCK):
        for cosines in _cosines(rows, queries[first : first + _QUERIES_PER_BLOCK]):
            if mask is not None:
                cosines[~mask] = -np.inf
            best = np.maximum.reduceat(cosines, starts)
            order = best_first(best, rows.sounds[starts], k)
            found.append([_nearby(rows, cosines, starts, i, float(best[i])) for i in order if np.isfinite(best[i])])
    return found


def best_first(scores: npt.NDArray[np.float32], ids: Ids, k: int) -> Ids:
    """Indices of the k largest scores; scores that are equal within `ROUNDING` are in the order of their ids."""
    rounded = np.round(scores.astype(np.float64) / ROUNDING)  # infinity stays
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


def _cosines(rows: VectorRows, queries: Queries) -> npt.NDArray[np.float32]:
    """(queries, rows)"""
    import torch

    cosines = torch.empty(len(queries), len(rows))
    given = torch.from_numpy(np.ascontiguousarray(queries, dtype=np.float32))
    for start in range(0, len(rows), _ROWS_PER_BLOCK):
        block = torch.from_numpy(rows.vectors[start : start + _ROWS_PER_BLOCK])
        cosines[:, start : start + len(block)] = given @ block.float().T  # torch converts float16 in half the time
    found = cosines.numpy()
    found /= np.maximum(rows.lengths, np.float32(1e-6))
    return found


def _nearby(rows: VectorRows, cosines: npt.NDArray[np.float32], starts: Ids, index: int, score: float) -> Nearby:
    end = starts[index + 1] if index + 1 < len(starts) else len(rows)
    own = np.arange(starts[index], end)
    windows = own[~np.isnan(rows.spans[own, 0]) & np.isfinite(cosines[own])]
    moments: list[Moment] = []
    for row in windows[np.argsort(-cosines[windows], kind="stable")]:
        start, stop = rows.spans[row]
        if all(stop <= other.start or start >= other.end for other in moments):
            moments.append(Moment(float(start), float(stop), float(cosines[row])))
            if len(moments) == MOST_MOMENTS:
                break
    return Nearby(int(rows.sounds[starts[index]]), score, tuple(moments))
