"""CLAP score: the mean cosine of paired embeddings, its uncertainty, and bounds to compare it with."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np

from clapgen.errors import ClapgenError
from clapgen.metrics.accumulator import Accumulator
from clapgen.metrics.embeddings.base import BLOCK_VALUES, Array, Embeddings, NotMeasurable, unit_length


@dataclass(frozen=True)
class ClapScore:
    """Mean cosine of n pairs, −1 to 1 (not times 100), higher is better.

    Attributes:
        std: standard deviation over pairs (n − 1 in the denominator); None for a single pair.
        interval: bootstrap interval of the mean; None for a single pair.
        cosines: (n,), in the given order.
    """

    mean: float
    std: float | None
    interval: tuple[float, float] | None
    cosines: Array = field(repr=False)


@dataclass(frozen=True)
class ClapScoreBounds:
    """The score of real pairs, and of the same pairs shuffled so that no item keeps its partner."""

    ceiling: ClapScore
    floor: ClapScore


class ClapScoreAccumulator(Accumulator[Array, ClapScore]):
    """`clap_score` over batches of pairs (first, second). Keeps one number per pair."""

    def _state_of(self, first: Embeddings, second: Embeddings) -> Array:
        return paired_cosines(first, second)

    def _result_of(
        self, states: Sequence[Array], *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
    ) -> ClapScore:
        if not states:
            raise NotMeasurable("A CLAP score needs at least 1 pair of embeddings.")
        return _summary(np.concatenate(states), confidence, resamples, seed)


def paired_cosines(first: Embeddings, second: Embeddings) -> Array:
    """Cosine (n,) of each row of (n, dim) with the same row of the other table.

    Raises:
        ClapgenError: different counts or widths, NaN, or an embedding of zeros.
    """
    a = unit_length(first, "first embeddings")
    b = unit_length(second, "second embeddings", width=a.shape[1])
    if len(a) != len(b):
        raise ClapgenError(f"Pairs need partners: there are {len(a)} first embeddings and {len(b)} second ones.")
    return np.clip((a * b).sum(1), -1.0, 1.0)


def clap_score(
    first: Embeddings, second: Embeddings, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> ClapScore:
    """Mean cosine of pairs: text and audio, audio and audio, or text and text (after Wu et al. 2023, LAION-CLAP).

    Args:
        first, second: embeddings (n, dim) of one model, row i of one belonging to row i of the other.
        confidence, resamples, seed: of the interval, see `bootstrap_interval`.

    Raises:
        ClapgenError: as `paired_cosines`.
    """
    return _summary(paired_cosines(first, second), confidence, resamples, seed)


def clap_score_bounds(
    audio: Embeddings, text: Embeddings, *, groups: Sequence[Hashable] | None = None, seed: int = 0
) -> ClapScoreBounds:
    """Ceiling and floor for a CLAP score of generated sounds: real pairs, and the same pairs deranged.

    Args:
        audio, text: embeddings (n, dim) of real pairs, n ≥ 2.
        groups: one name per item; items of the same group (e.g. the same prompt) are never paired in the floor.
        seed: of the derangement and of both intervals.

    Raises:
        ClapgenError: as `paired_cosines` and `derangement`.
    """
    cosines = paired_cosines(audio, text)
    sounds, sentences = unit_length(audio, "audio embeddings"), unit_length(text, "text embeddings")
    first = np.lexsort(np.hstack([sounds, sentences]).T)  # the floor must not depend on the order of the clips
    names = None if groups is None else [groups[index] for index in first]
    order = first[derangement(len(cosines), groups=names, seed=seed)]
    shuffled = paired_cosines(sounds[first], sentences[order])
    return ClapScoreBounds(_summary(cosines, 0.95, 2000, seed), _summary(shuffled, 0.95, 2000, seed))


def bootstrap_interval(
    values: Array, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean (Efron 1979), the same for the same values in any order.

    Slightly too narrow for few values: with 10 values, 95% means about 90%.

    Args:
        values: (n,), n ≥ 2.
        confidence: share of the resampled means inside, 0 to 1.
        resamples: number of resampled means.
        seed: of the resampling.

    Raises:
        ClapgenError: fewer than 2 values, or a confidence outside (0, 1).
    """
    if len(values) < 2:
        raise NotMeasurable(f"A bootstrap interval needs at least 2 values; there are {len(values)}.")
    if not 0 < confidence < 1:
        raise ClapgenError(f"The confidence must lie between 0 and 1, not be {confidence}.")
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    rng = np.random.default_rng(seed)
    step = max(1, BLOCK_VALUES // len(ordered))
    sizes = [min(step, resamples - start) for start in range(0, resamples, step)]
    means = np.concatenate([ordered[rng.integers(len(ordered), size=(n, len(ordered)))].mean(1) for n in sizes])
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def derangement(count: int, *, groups: Sequence[Hashable] | None = None, seed: int = 0) -> np.ndarray:
    """A random order (count,) in which no item takes the place of an item of its own group.

    Items are shuffled, sorted by group and rotated by the size of the largest group, so that all leave their group.
    Without groups, the order is one random cycle through all items.

    Raises:
        ClapgenError: fewer than 2 items, or a group of more than half of them.
    """
    if count < 2:
        raise NotMeasurable(f"Shuffling pairs needs at least 2 of them; there are {count}.")
    names = list(range(count)) if groups is None else list(groups)
    if len(names) != count:
        raise ClapgenError(f"There are {len(names)} group names for {count} items.")
    number = {name: index for index, name in enumerate(dict.fromkeys(names))}
    group = np.array([number[name] for name in names])
    largest = int(np.bincount(group).max())
    if 2 * largest > count:
        raise NotMeasurable(
            f"{largest} of {count} items share a group; at most half may, to shuffle all of them apart."
        )
    shuffled = np.random.default_rng(seed).permutation(count)
    by_group = shuffled[np.argsort(group[shuffled], kind="stable")]
    order = np.empty(count, dtype=np.int64)
    order[by_group] = np.roll(by_group, largest)
    return order


def _summary(cosines: Array, confidence: float, resamples: int, seed: int) -> ClapScore:
    ordered = np.sort(cosines)  # the result must not depend on the order of the clips, not even in the last digit
    if len(ordered) == 1:
        return ClapScore(float(ordered[0]), None, None, cosines)
    interval = bootstrap_interval(ordered, confidence=confidence, resamples=resamples, seed=seed)
    return ClapScore(float(ordered.mean()), float(ordered.std(ddof=1)), interval, cosines)
