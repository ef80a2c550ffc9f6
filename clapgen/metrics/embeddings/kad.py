"""Kernel audio distance (KAD): an unbiased distance of distributions, without a Gaussian assumption, for few items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.base import (
    BLOCK_VALUES,
    Array,
    Embeddings,
    NotMeasurable,
    as_embeddings,
    pair_squared_distances,
    row_blocks,
    squared_distances,
)


@dataclass(frozen=True)
class KernelDistance:
    """`value` is MMD² times `scale`; `bandwidth` is the σ of the kernel. Values of different σ do not compare."""

    value: float
    bandwidth: float
    scale: float


def kernel_audio_distance(
    generated: Embeddings, reference: Embeddings, *, bandwidth: float | None = None, scale: float = 1000.0
) -> KernelDistance:
    """KAD (Chung et al. 2025): unbiased MMD² (Gretton et al. 2012) with the kernel exp(−d² / 2σ²).

    Lower is better; its expectation is 0 for two sets from one distribution, so it may be below 0 by chance. MMD² is
    at most 2; `scale` only makes it readable (kadtk multiplies by 100). Memory is bounded; time is (n + m)².

    Args:
        generated: embeddings (n, dim), n ≥ 2.
        reference: embeddings (m, dim), m ≥ 2.
        bandwidth: σ; by default the `median_distance` of the reference, so that it is the same for every system.
        scale: factor of MMD².

    Raises:
        ClapgenError: too few items, different widths, NaN, a bandwidth of 0 or less.
    """
    second = as_embeddings(reference, "reference embeddings", at_least=2)
    first = as_embeddings(generated, "generated embeddings", at_least=2, width=second.shape[1])
    sigma = median_distance(second) if bandwidth is None else float(bandwidth)
    if not 0 < sigma < np.inf:
        if bandwidth is None:
            raise NotMeasurable(f"The kernel's bandwidth is {sigma:g}: half of the reference pairs are copies.")
        raise ClapgenError(f"The kernel's bandwidth is {sigma:g}: it must be positive.")
    centre = second.mean(0)  # distances stay the same, with less rounding
    first, second = (first - centre) / sigma, (second - centre) / sigma
    across = sum(
        float(np.exp(-squared_distances(first[rows], second) / 2).sum()) for rows in row_blocks(len(first), len(second))
    )
    squared = _mean_within(first) + _mean_within(second) - 2 * across / (len(first) * len(second))
    return KernelDistance(scale * squared, sigma, scale)


def median_distance(points: Embeddings) -> float:
    """Exact median Euclidean distance of all n(n − 1)/2 pairs of embeddings (n, dim), n ≥ 2, in bounded memory.

    Large sets are counted in ever narrower bins around the median, until the remaining pairs fit into memory.
    """
    table = as_embeddings(points, "embeddings", at_least=2)
    table = table - table.mean(0)
    pairs = len(table) * (len(table) - 1) // 2
    middle = ((pairs - 1) // 2, pairs // 2)  # the same one when odd
    low, high = 0.0, 4 * float(np.square(table).sum(1).max())  # of the squared distances
    below, inside = 0, pairs
    while inside > BLOCK_VALUES:
        edges = np.linspace(low, high, 4097)
        if not (np.diff(edges) > 0).all():
            return float(np.sqrt(low))  # too many pairs at the same distance for any bin to separate
        counts = np.zeros(4096, dtype=np.int64)
        for block in pair_squared_distances(table):
            counts += np.histogram(block, 4096, (low, high))[0]
        ranks = below + np.cumsum(counts)
        first, last = (int(np.searchsorted(ranks, rank, side="right")) for rank in middle)
        below, inside = int(ranks[first] - counts[first]), int(ranks[last] - ranks[first] + counts[first])
        low, high = float(edges[first]), float(edges[last + 1])
    left = np.concatenate([block[(block >= low) & (block <= high)] for block in pair_squared_distances(table)])
    ordered = np.partition(left, [rank - below for rank in middle])
    return float(np.mean([np.sqrt(ordered[rank - below]) for rank in middle]))


def _mean_within(points: Array) -> float:
    total = sum(float(np.exp(-block / 2).sum()) for block in pair_squared_distances(points))
    return 2 * total / (len(points) * (len(points) - 1))
