"""Precision, recall, density, coverage, diversity and novelty, from nearest neighbours among embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import numpy.typing as npt

from clapgen.errors import ClapgenError
from clapgen.metrics.accumulator import Accumulator
from clapgen.metrics.embeddings.base import (
    Array,
    Embeddings,
    NotMeasurable,
    as_embeddings,
    pair_squared_distances,
    row_blocks,
    squared_distances,
    unit_length,
)


@dataclass(frozen=True)
class ManifoldScores:
    """All 0 to 1 except density (0 to m / nearest_k), higher is better.

    The ball of an item reaches to its nearest_k-th neighbour in its own set.

    Attributes:
        precision: share of generated items inside the ball of a reference item.
        recall: share of reference items inside the ball of a generated item.
        density: mean number of reference balls that contain a generated item, divided by nearest_k.
        coverage: share of reference balls that contain a generated item.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    nearest_k: int


@dataclass(frozen=True)
class NearDuplicate:
    """A generated item, its nearest training item, and their cosine."""

    generated: int
    training: int
    similarity: float


@dataclass(frozen=True)
class Novelty:
    """The nearest training item of each of n generated items.

    High means copied, not good; compare with the similarities of held-out recordings.

    Attributes:
        similarities: (n,), cosines, −1 to 1.
        neighbours: (n,), indices of the training items.
    """

    similarities: Array = field(repr=False)
    neighbours: npt.NDArray[np.int64] = field(repr=False)

    @property
    def mean(self) -> float:
        """Mean similarity to the nearest training item."""
        return float(self.similarities.mean())

    def share_above(self, threshold: float) -> float:
        """Share of generated items with a similarity above the threshold: MusicLDM's SIM_AA (Chen et al. 2024)."""
        return float((self.similarities > threshold).mean())

    def near_duplicates(self, threshold: float = 0.95) -> list[NearDuplicate]:
        """Generated items with a similarity above the threshold, the most similar first."""
        order = np.argsort(-self.similarities, kind="stable")
        return [
            NearDuplicate(int(i), int(self.neighbours[i]), float(self.similarities[i]))
            for i in order
            if self.similarities[i] > threshold
        ]


Nearest = tuple[int, Array, npt.NDArray[np.int64]]  # count of training items; similarity and index of the nearest


class NoveltyAccumulator(Accumulator[Nearest, Novelty]):
    """`novelty` over batches of training embeddings (m, dim), m ≥ 1. Keeps two numbers per generated item."""

    settings_name = "generated embeddings"

    def __init__(self, generated: Embeddings) -> None:
        self._generated = unit_length(generated, "generated embeddings")
        super().__init__(self._generated)

    def _state_of(self, training: Embeddings) -> Nearest:
        batch = unit_length(training, "training embeddings", width=self._generated.shape[1])
        state: Nearest | None = None
        for rows in row_blocks(len(batch), len(self._generated)):
            cosines = self._generated @ batch[rows].T  # (n, rows)
            nearest = cosines.argmax(1)
            block = len(cosines[0]), np.take_along_axis(cosines, nearest[:, None], 1)[:, 0], nearest
            state = block if state is None else _nearer(state, block)
        assert state is not None
        return state

    def _reduced(self, states: list[Nearest]) -> list[Nearest]:
        return [reduce(_nearer, states)]

    def _result_of(self, states: Sequence[Nearest]) -> Novelty:
        if not states:
            raise NotMeasurable("Novelty needs at least 1 training embedding.")
        _, similarities, neighbours = states[0]
        return Novelty(np.clip(similarities, -1, 1), neighbours)


def _nearer(first: Nearest, second: Nearest) -> Nearest:
    """The nearest of both; those of `second` are numbered after those of `first`."""
    nearer = second[1] > first[1]
    similarities = np.where(nearer, second[1], first[1])
    return first[0] + second[0], similarities, np.where(nearer, first[0] + second[2], first[2])


def novelty(generated: Embeddings, training: Embeddings) -> Novelty:
    """Cosine of each generated item with its nearest training item (MusicLDM's plagiarism check, Chen et al. 2024).

    Args:
        generated: embeddings (n, dim), not of length 0.
        training: embeddings (m, dim).

    Raises:
        ClapgenError: no items, different widths, NaN, an embedding of zeros.
    """
    return NoveltyAccumulator(generated).of(training)


def diversity(embeddings: Embeddings) -> float:
    """Mean Euclidean distance over all pairs of (n, dim), n ≥ 2; 0 for copies, at most 2 for embeddings of length 1.

    Raises:
        ClapgenError: fewer than 2 items, NaN.
    """
    points = as_embeddings(embeddings, "embeddings", at_least=2)
    points = points - points.mean(0)  # distances stay the same, with less rounding
    total = sum(float(np.sqrt(block).sum()) for block in pair_squared_distances(points))
    return 2 * total / (len(points) * (len(points) - 1))


def precision_recall_density_coverage(
    generated: Embeddings, reference: Embeddings, *, nearest_k: int = 5
) -> ManifoldScores:
    """Improved precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    A ball includes its boundary, so that exact copies are inside.

    Args:
        generated: embeddings (n, dim), n > nearest_k.
        reference: embeddings (m, dim), m > nearest_k.
        nearest_k: the neighbour that defines the radius of a ball, at least 1; the papers use 3 and 5.

    Raises:
        ClapgenError: too few items, different widths, NaN, nearest_k below 1.
    """
    if nearest_k < 1:
        raise ClapgenError(f"nearest_k must be at least 1, not {nearest_k}.")
    references = as_embeddings(reference, "reference embeddings", at_least=nearest_k + 1)
    points = as_embeddings(generated, "generated embeddings", at_least=nearest_k + 1, width=references.shape[1])
    centre = references.mean(0)  # distances stay the same, with less rounding
    references, points = references - centre, points - centre
    reference_radii, generated_radii = _squared_radii(references, nearest_k), _squared_radii(points, nearest_k)

    balls = np.zeros(len(points), dtype=np.int64)  # of reference items, around each generated one
    recalled, covered = 0, 0
    for rows in row_blocks(len(references), len(points)):
        distances = squared_distances(references[rows], points)
        inside = distances <= reference_radii[rows, None]
        balls += inside.sum(0)
        covered += int(inside.any(1).sum())
        recalled += int((distances <= generated_radii).any(1).sum())
    return ManifoldScores(
        precision=float((balls > 0).mean()),
        recall=recalled / len(references),
        density=float(balls.mean() / nearest_k),
        coverage=covered / len(references),
        nearest_k=nearest_k,
    )


def _squared_radii(points: Array, nearest_k: int) -> Array:
    radii: Sequence[Array] = [
        np.partition(squared_distances(points[rows], points), nearest_k, axis=1)[:, nearest_k]
        for rows in row_blocks(len(points), len(points))
    ]  # index 0 is the point itself
    return np.concatenate(radii)
