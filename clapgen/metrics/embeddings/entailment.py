"""Audio entailment: does a sentence follow from a sound, contradict it, or neither? (Deshmukh et al. 2024)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from clapgen.errors import ClapgenError, nearest
from clapgen.metrics.accumulator import Accumulator
from clapgen.metrics.embeddings.base import Array, row_blocks
from clapgen.metrics.embeddings.clap_score import bootstrap_interval

Indices = npt.NDArray[np.int64]
Objective = Literal["macro_f1", "accuracy"]

LABELS = ("contradiction", "neutral", "entailment")  # by rising cosine


@dataclass(frozen=True)
class EntailmentThresholds:
    """Contradiction below `low`, entailment from `high` on, neutral between.

    `score` is the value of `objective` on the n pairs that the thresholds were fitted to; it is optimistic, so do not
    report it as a result.
    """

    low: float
    high: float
    objective: Objective
    score: float
    n: int

    def labels(self, cosines: npt.ArrayLike) -> list[str]:
        """The label of each cosine (n,)."""
        return [LABELS[index] for index in self._indices(_cosines(cosines))]

    def _indices(self, cosines: Array) -> Indices:
        return (cosines >= self.low).astype(np.int64) + (cosines >= self.high)


@dataclass(frozen=True)
class Entailment:
    """How well thresholds label n pairs of a sound and a sentence.

    Attributes:
        accuracy, macro_f1: 0 to 1, higher is better.
        interval: 95% bootstrap interval of the accuracy.
        majority: accuracy of always predicting the most frequent label.
        f1: by label.
        confusion: (3, 3), number of pairs of a row's label predicted as a column's, in the order of `LABELS`.
    """

    accuracy: float
    macro_f1: float
    interval: tuple[float, float]
    majority: float
    n: int
    f1: dict[str, float]
    confusion: Indices = field(repr=False)
    predicted: list[str] = field(repr=False)


class EntailmentAccumulator(Accumulator[tuple[Indices, Indices], Entailment]):
    """`audio_entailment` over batches of cosines (n,) and n labels. Keeps two numbers per pair."""

    settings_name = "thresholds"

    def __init__(self, thresholds: EntailmentThresholds) -> None:
        super().__init__(thresholds)
        self._thresholds = thresholds

    def _state_of(self, cosines: npt.ArrayLike, labels: Sequence[str]) -> tuple[Indices, Indices]:
        values = _cosines(cosines)
        return _truth(labels, len(values)), self._thresholds._indices(values)

    def _result_of(self, states: Sequence[tuple[Indices, Indices]], *, seed: int = 0) -> Entailment:
        none = np.zeros(0, dtype=np.int64)
        truth, predicted = (np.concatenate([none, *(state[side] for state in states)]) for side in (0, 1))
        _every_label(truth, "test")
        confusion = np.zeros((3, 3), dtype=np.int64)
        np.add.at(confusion, (truth, predicted), 1)
        f1 = 2 * np.diag(confusion) / (confusion.sum(0) + confusion.sum(1))
        right = (truth == predicted).astype(np.float64)
        return Entailment(
            accuracy=float(right.mean()),
            macro_f1=float(f1.mean()),
            interval=bootstrap_interval(right, seed=seed),
            majority=float(confusion.sum(1).max() / len(truth)),
            n=len(truth),
            f1=dict(zip(LABELS, f1.tolist(), strict=True)),
            confusion=confusion,
            predicted=[LABELS[index] for index in predicted],
        )


def fit_thresholds(
    cosines: npt.ArrayLike, labels: Sequence[str], objective: Objective = "macro_f1"
) -> EntailmentThresholds:
    """The two thresholds that are best on a development set; an exact search, not a grid.

    Only cuts between neighbouring cosines matter, so all of them are tried. Accuracy is a sum of one term per cut and
    takes one pass over the sorted cosines. Macro F1 takes all pairs of cuts, since the F1 of the neutral class depends
    on both: n² time, bounded memory. Thresholds are midpoints between cosines; ties are resolved to the lowest.

    Args:
        cosines: (n,) of sound and sentence.
        labels: n of `LABELS`, each at least once.
        objective: "macro_f1" or "accuracy".

    Raises:
        ClapgenError: different counts, NaN, an unknown label, a label without pairs, an unknown objective.
    """
    values = _cosines(cosines)
    truth = _truth(labels, len(values))
    _every_label(truth, "development")
    if objective not in ("macro_f1", "accuracy"):
        raise ClapgenError(f'The objective must be "macro_f1" or "accuracy", not {objective!r}.')
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    below = np.zeros((3, len(values) + 1), dtype=np.int64)  # pairs of each label among the k lowest cosines
    below[:, 1:] = (truth[order] == np.arange(3)[:, None]).cumsum(1)
    cuts = np.flatnonzero(np.concatenate([[True], np.diff(ordered) > 0, [True]]))  # only between different cosines
    best = _best_for_f1 if objective == "macro_f1" else _best_for_accuracy
    score, low, high = best(below[:, cuts], cuts)
    return EntailmentThresholds(
        _threshold(ordered, int(cuts[low])), _threshold(ordered, int(cuts[high])), objective, score, len(values)
    )


def audio_entailment(
    cosines: npt.ArrayLike, labels: Sequence[str], thresholds: EntailmentThresholds, *, seed: int = 0
) -> Entailment:
    """Accuracy, macro F1 and confusion on test pairs, with thresholds that `fit_thresholds` found on other pairs.

    Args:
        cosines: (n,) of sound and sentence.
        labels: n of `LABELS`, each at least once, because macro F1 needs all of them.
        seed: of the interval.

    Raises:
        ClapgenError: different counts, NaN, an unknown label, a label without pairs.
    """
    return EntailmentAccumulator(thresholds).of(cosines, labels, seed=seed)


def _best_for_accuracy(below: Indices, cuts: Indices) -> tuple[float, int, int]:
    """Score, and the indices low ≤ high of the best two cuts; `below` (3, cuts) counts labels below each."""
    contradiction, neutral, entailment = below
    of_low, of_high = contradiction - neutral, neutral + entailment[-1] - entailment
    so_far = np.maximum.accumulate(of_low)
    high = int((so_far + of_high).argmax())
    low = int(of_low[: high + 1].argmax())
    return float((of_low[low] + of_high[high]) / cuts[-1]), low, high


def _best_for_f1(below: Indices, cuts: Indices) -> tuple[float, int, int]:
    contradiction, neutral, entailment = below
    of_low = 2 * contradiction / (cuts + contradiction[-1])
    of_high = 2 * (entailment[-1] - entailment) / (cuts[-1] - cuts + entailment[-1])
    best = (-1.0, 0, 0)
    for rows in row_blocks(len(cuts), len(cuts)):
        found = neutral - neutral[rows, None]
        between = np.maximum(cuts - cuts[rows, None], 0)
        total = of_low[rows, None] + of_high + 2 * found / (between + neutral[-1])
        total[cuts < cuts[rows, None]] = -1.0  # high below low
        low, high = np.unravel_index(total.argmax(), total.shape)
        if total[low, high] > best[0]:
            best = (float(total[low, high]), rows.start + int(low), int(high))
    return best[0] / 3, best[1], best[2]


def _threshold(ordered: Array, cut: int) -> float:
    """A threshold between the `cut` lowest values and the others."""
    if cut == 0:
        return float(ordered[0])
    if cut == len(ordered):
        return float(np.nextafter(ordered[-1], np.inf))
    middle = (ordered[cut - 1] + ordered[cut]) / 2
    return float(middle if middle > ordered[cut - 1] else ordered[cut])


def _cosines(values: npt.ArrayLike) -> Array:
    cosines = np.asarray(values, dtype=np.float64)
    if cosines.ndim != 1 or not np.isfinite(cosines).all():
        raise ClapgenError(f"The cosines must be finite numbers, one per pair; their shape is {cosines.shape}.")
    return cosines


def _truth(labels: Sequence[str], count: int) -> Indices:
    if len(labels) != count:
        raise ClapgenError(f"{count} cosines and {len(labels)} labels do not pair; give equal numbers.")
    for label in labels:
        if label not in LABELS:
            raise ClapgenError(f"unknown label {label!r}; use {', '.join(LABELS)}.{nearest(str(label), LABELS)}")
    return np.array([LABELS.index(label) for label in labels], dtype=np.int64)


def _every_label(truth: Indices, subset: str) -> None:
    absent = [label for index, label in enumerate(LABELS) if not (truth == index).any()]
    if absent:
        raise ClapgenError(f"No {subset} pair is labelled {absent[0]}; all of {', '.join(LABELS)} are needed.")
