"""Checks of embeddings that all metrics share, and distances computed in blocks, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from clapgen.errors import ClapgenError

Embeddings: TypeAlias = npt.ArrayLike | Tensor
Array: TypeAlias = npt.NDArray[np.float64]

BLOCK_VALUES = 2**22  # distances in memory at once: 32 MB
ROUNDING = 1e-6  # cosines of float32 embeddings closer than this are equal


class NotMeasurable(ClapgenError):
    """The input is valid, but the metric is not defined for it, for example because it has too few items."""


def as_embeddings(values: Embeddings, name: str, *, at_least: int = 1, width: int | None = None) -> Array:
    """Embeddings as float64 (n, dim), after checks.

    Args:
        values: (n, dim), a tensor of any device and precision, or anything that numpy accepts.
        name: for error messages, such as "generated embeddings".
        at_least: the smallest number of items that the metric is defined for.
        width: the required dim.

    Raises:
        NotMeasurable: too few items.
        ClapgenError: the shape is not (n, dim), another width, NaN or infinity.
    """
    array = np.asarray(values.detach().cpu().double() if isinstance(values, Tensor) else values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ClapgenError(f"The {name} must be a table (items, dim), not of shape {array.shape}.")
    if len(array) < at_least:
        raise NotMeasurable(f"{len(array)} {name}: this metric needs at least {at_least}.")
    if width is not None and array.shape[1] != width:
        raise ClapgenError(
            f"The {name} have {array.shape[1]} dimensions, the others {width}: are they from different models?"
        )
    broken = np.flatnonzero(~np.isfinite(array).all(1))
    if len(broken):
        raise ClapgenError(
            f"{len(broken)} of {len(array)} {name} contain NaN or infinity; the first is item {broken[0]}: "
            "the model is broken, or the clip is damaged."
        )
    return array


def unit_length(values: Embeddings, name: str, *, at_least: int = 1, width: int | None = None) -> Array:
    """`as_embeddings`, scaled to length 1, so that dot products are cosines.

    Raises:
        ClapgenError: as `as_embeddings`; an embedding of zeros, which has no direction.
    """
    array = as_embeddings(values, name, at_least=at_least, width=width)
    array = array / np.maximum(
        np.abs(array).max(1, keepdims=True), np.finfo(np.float64).tiny
    )  # avoids overflow of squares
    length = np.linalg.norm(array, axis=1, keepdims=True)
    zero = np.flatnonzero(length == 0)
    if len(zero):
        raise ClapgenError(f"{len(zero)} of {len(array)} {name} are all zeros; the first is item {zero[0]}.")
    return array / length


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of `rows`; each slice times `columns` is at most `BLOCK_VALUES` numbers."""
    step = max(1, BLOCK_VALUES // max(columns, 1))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def squared_distances(first: Array, second: Array) -> Array:
    """Squared Euclidean distances (n, m) between (n, dim) and (m, dim); exactly 0 for copies.

    |a|² + |b|² − 2ab is inaccurate below the rounding of the lengths, so such values are set to 0: otherwise two copies
    would be 1e-8 apart, with a random sign.
    """
    lengths = np.square(first).sum(1)[:, None] + np.square(second).sum(1)
    distances = lengths - 2 * first @ second.T
    distances[distances < first.shape[1] * np.finfo(np.float64).eps * lengths] = 0
    return distances


def pair_squared_distances(points: Array) -> Iterator[Array]:
    """Squared distances of all n(n − 1)/2 pairs of rows of (n, dim), in flat blocks."""
    for rows in row_blocks(len(points), len(points)):
        block = squared_distances(points[rows], points[rows.start :])
        yield block[np.triu(np.ones(block.shape, dtype=bool), 1)]
