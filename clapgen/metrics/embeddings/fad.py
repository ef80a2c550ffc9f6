"""Fréchet audio distance (FAD) between sets of embeddings, extrapolated to infinite sets, and per item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np

from clapgen.errors import ClapgenError
from clapgen.metrics.accumulator import Accumulator
from clapgen.metrics.embeddings.base import Array, Embeddings, NotMeasurable, as_embeddings
from clapgen.metrics.embeddings.decompositions import eigen_decomposition, singular_values


@dataclass(frozen=True)
class Gaussian:
    """Mean (dim,) and covariance (dim, dim, n − 1 in the denominator) of `count` embeddings."""

    mean: Array = field(repr=False)
    covariance: Array = field(repr=False)
    count: int


Moments = tuple[int, Array, Array]  # count, mean (dim,), scatter (dim, dim)


class GaussianAccumulator(Accumulator[Moments, Gaussian]):
    """`gaussian` over batches of embeddings (n, dim), n ≥ 1, after Chan, Golub and LeVeque 1979. Keeps dim² numbers."""

    def _state_of(self, batch: Embeddings) -> Moments:
        points = as_embeddings(batch, "embeddings")
        mean = points.mean(0)
        centred = points - mean
        return len(points), mean, centred.T @ centred

    def _reduced(self, states: list[Moments]) -> list[Moments]:
        return [reduce(_joined, states)]

    def _result_of(self, states: Sequence[Moments]) -> Gaussian:
        count, mean, scatter = states[0] if states else (0, np.zeros(0), np.zeros((0, 0)))
        if count < 2:
            raise NotMeasurable(f"A covariance needs at least 2 embeddings; there are {count}.")
        return Gaussian(mean, scatter / (count - 1), count)


def _joined(first: Moments, second: Moments) -> Moments:
    (n, mean, scatter), (m, other_mean, other_scatter) = first, second
    if len(mean) != len(other_mean):
        raise ClapgenError(
            f"Embeddings of {len(mean)} and of {len(other_mean)} dimensions cannot be joined: "
            "are they from different models?"
        )
    step = other_mean - mean
    scatter = scatter + other_scatter + np.outer(step, step) * (n * m / (n + m))
    return n + m, mean + step * (m / (n + m)), scatter


@dataclass(frozen=True)
class FrechetInfinity:
    """FAD for infinitely many generated items: the intercept of a line fitted to FAD over 1/size.

    `value` is not clamped and may be slightly below 0. `r_squared` measures how well the line fits (1 is perfect).
    """

    value: float
    r_squared: float
    sizes: tuple[int, ...]
    distances: tuple[float, ...]


def gaussian(embeddings: Embeddings, name: str = "embeddings") -> Gaussian:
    """Mean and covariance of embeddings (n, dim), n ≥ 2."""
    return GaussianAccumulator().of(as_embeddings(embeddings, name, at_least=2))


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """Squared Fréchet distance of two Gaussians (Dowson and Landau 1982), 0 or more: |μ₁−μ₂|² + Tr(C₁ + C₂ − 2√(C₁C₂)).

    Tr √(C₁C₂) is that of √(√C₁ C₂ √C₁), which is symmetric and thus real for any ranks. It is computed from
    the singular values of √C₁ √C₂: roots of eigenvalues near 0 would turn rounding errors of 1e-16 into 1e-8.

    Raises:
        ClapgenError: different widths.
    """
    _same_width(len(first.mean), len(second.mean))
    shift = np.square(first.mean - second.mean).sum()
    spread = np.trace(first.covariance) + np.trace(second.covariance)
    return max(0.0, float(shift + spread) - 2 * _nuclear_norm(_root(first.covariance).T @ _root(second.covariance)))


def frechet_audio_distance(generated: Embeddings, reference: Embeddings) -> float:
    """FAD (Kilgour et al. 2019) in float64, 0 or more, lower is better; biased upwards for few items.

    Args:
        generated: embeddings (n, dim), n ≥ 2.
        reference: embeddings (m, dim), m ≥ 2.

    Raises:
        ClapgenError: too few items, different widths, NaN.
    """
    return frechet_distance(gaussian(generated, "generated embeddings"), gaussian(reference, "reference embeddings"))


def frechet_audio_distance_infinity(
    generated: Embeddings, reference: Embeddings, *, smallest: int | None = None, num_sizes: int = 25, seed: int = 0
) -> FrechetInfinity:
    """FAD∞ (Gui et al. 2024, after Chong and Forsyth 2020): FAD without the bias of few generated items.

    FAD is measured on subsets without replacement of evenly spaced sizes up to all, and a line is fitted over 1/size.
    The bias of a small reference remains, but is the same for all systems. The order of the items does not matter:
    subsets are drawn from sorted items.

    Args:
        generated: embeddings (n, dim).
        reference: embeddings (m, dim), m ≥ 2; all of them, always.
        smallest: size of the smallest subset, at least 2 and below n; by default a fifth of n.
        num_sizes: number of subsets, at least 3.
        seed: of the subsets.

    Raises:
        ClapgenError: n too small for 3 different sizes, different widths, NaN.
    """
    points = as_embeddings(generated, "generated embeddings", at_least=4)
    target = gaussian(reference, "reference embeddings")
    _same_width(points.shape[1], len(target.mean))
    lowest = max(2, len(points) // 5) if smallest is None else smallest
    if num_sizes < 3 or not 2 <= lowest <= len(points) - 2:
        raise NotMeasurable(
            f"FAD-inf needs 3 or more subsets of different sizes: not {num_sizes} of {lowest} to {len(points)} items."
        )
    sizes = np.unique(np.linspace(lowest, len(points), num_sizes).round().astype(int))
    rng = np.random.default_rng(seed)
    points = points[np.lexsort(points.T)]
    subsets = (points[rng.choice(len(points), size, replace=False)] for size in sizes)
    root = _root(target.covariance)
    distances = np.array([_distance_of_points(subset, target, root) for subset in subsets])
    value, r_squared = _line_at_zero(1 / sizes, distances)
    return FrechetInfinity(value, r_squared, tuple(sizes.tolist()), tuple(distances.tolist()))


def frechet_audio_distance_per_item(items: Sequence[Embeddings], reference: Embeddings) -> Array:
    """FAD (n,) of each item's own frames to the reference, to find outliers (Gui et al. 2024).

    An item of one frame has no covariance; its distance is that of a point, |μ₁−μ₂|² + Tr C₂.

    Args:
        items: n items, each embeddings (frames, dim), frames ≥ 1.
        reference: embeddings (m, dim), m ≥ 2.

    Raises:
        ClapgenError: too few items or frames, different widths, NaN; the item is named.
    """
    target = gaussian(reference, "reference embeddings")
    root = _root(target.covariance)
    frames = (as_embeddings(item, f"frames of item {i}", width=len(target.mean)) for i, item in enumerate(items))
    return np.array([_distance_of_points(each, target, root) for each in frames])


def _distance_of_points(points: Array, target: Gaussian, target_root: Array) -> float:
    """Without the covariance C₁ of (n, dim), which is BᵀB of the centred points B: |√C₁ √C₂|₁ is |B √C₂|₁."""
    mean = points.mean(0)
    centred = (points - mean) / np.sqrt(max(len(points) - 1, 1))
    shift = np.square(mean - target.mean).sum() + np.square(centred).sum() + np.trace(target.covariance)
    return max(0.0, float(shift) - 2 * _nuclear_norm(centred @ target_root))


def _root(covariance: Array) -> Array:
    """R (dim, rank) with R Rᵀ = C."""
    values, vectors = eigen_decomposition(covariance)
    rounding = len(values) * np.finfo(np.float64).eps * values[-1]  # smaller values have a random sign
    positive = values > rounding
    return vectors[:, positive] * np.sqrt(values[positive])


def _nuclear_norm(matrix: Array) -> float:
    return float(singular_values(matrix).sum()) if matrix.size else 0.0


def _line_at_zero(x: Array, y: Array) -> tuple[float, float]:
    slope, intercept = np.polyfit(x, y, 1)
    unexplained = np.square(y - (slope * x + intercept)).sum()
    variance = np.square(y - y.mean()).sum()
    return float(intercept), float(1 - unexplained / variance) if variance > 0 else 1.0


def _same_width(first: int, second: int) -> None:
    if first != second:
        raise ClapgenError(
            f"The generated embeddings have {first} dimensions, the reference {second}: are they from different models?"
        )
