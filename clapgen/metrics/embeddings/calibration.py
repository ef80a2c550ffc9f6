"""Probabilities from the cosines of one model: of each label by itself, and of "none of these".

A softmax over labels says which label fits best, even where none fits. These probabilities come from cosines and truths
of other sounds (Platt 1999), and hold for sounds and prompts like those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clapgen.metrics.embeddings.base import Array


@dataclass(frozen=True)
class Calibration:
    """How the cosines of one model become probabilities.

    Attributes:
        template: the prompt template that it was measured with.
        scale, bias: the log-odds that a label applies are `scale * cosine + bias`, if it applies to half of the sounds.
        choice_scale, none_bias: of the choice among K labels or none of them, where none is right in half of the cases:
            the logit of a label is `choice_scale * cosine`, that of none `none_bias + log K`.
    """

    template: str
    scale: float
    bias: float
    choice_scale: float
    none_bias: float

    def independent(self, cosines: npt.ArrayLike) -> Array:
        """The probability (n, labels) that each label applies, by itself."""
        return 1 / (1 + np.exp(-(self.scale * np.asarray(cosines, dtype=np.float64) + self.bias)))

    def with_none(self, cosines: npt.ArrayLike) -> Array:
        """Probabilities (n, labels + 1) that sum to 1: of the labels, and last that none of them applies."""
        return softmax(choice_logits(np.asarray(cosines, dtype=np.float64), self.choice_scale, self.none_bias))


def choice_logits(cosines: Array, scale: float, none_bias: float) -> Array:
    """Logits (n, labels + 1) of the choice that `Calibration` describes."""
    none = np.full((len(cosines), 1), none_bias + np.log(cosines.shape[1]))
    return np.hstack([scale * cosines, none])


def softmax(logits: Array) -> Array:
    """Softmax of (n, m) over the last axis."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def fit_sigmoid(cosines: npt.ArrayLike, applies: npt.ArrayLike) -> tuple[float, float]:
    """Scale and bias of the most likely log-odds `scale * cosine + bias` (logistic regression by Newton's method).

    Args:
        cosines: (n,).
        applies: (n,), whether the label of each applies; both kinds occur.
    """
    features = np.stack([np.asarray(cosines, dtype=np.float64), np.ones(np.size(cosines))], axis=1)
    truth = np.asarray(applies, dtype=np.float64)
    weights = np.zeros(2)
    for _ in range(100):
        p = 1 / (1 + np.exp(-features @ weights))
        hessian = features.T @ (features * (p * (1 - p))[:, None]) + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, features.T @ (truth - p))
        weights = weights + step
        if np.abs(step).max() < 1e-9:
            break
    return float(weights[0]), float(weights[1])


def fit_choice(choices: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]]) -> tuple[float, float]:
    """`choice_scale` and `none_bias` of the most likely choices, by a search that halves its steps.

    Args:
        choices: cosines (n, labels) and the right column (n,) of each, `labels` where none is right; several pairs for
            several numbers of labels.
    """
    tables = [(np.asarray(c, dtype=np.float64), np.asarray(t, dtype=np.int64)) for c, t in choices]

    def loss(scale: float, bias: float) -> float:
        return float(
            np.mean(
                [
                    -np.log(softmax(choice_logits(cosines, scale, bias))[np.arange(len(truth)), truth] + 1e-12).mean()
                    for cosines, truth in tables
                ]
            )
        )

    best, step = np.array([10.0, 5.0]), np.array([8.0, 4.0])
    lowest = loss(*best)
    while step.max() > 1e-3:
        around = [best + step * np.array(move) for move in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1))]
        losses = [loss(*point) for point in around]
        if min(losses) < lowest:
            best, lowest = around[int(np.argmin(losses))], min(losses)
        else:
            step = step / 2
    return float(best[0]), float(best[1])


def expected_calibration_error(
    probabilities: npt.ArrayLike, correct: npt.ArrayLike, bins: int = 10, weights: npt.ArrayLike | None = None
) -> float:
    """ECE (Guo et al. 2017), 0 (calibrated) to 1: the mean gap between probability and share correct, in equal bins.

    Args:
        probabilities: (n,) stated.
        correct: (n,), whether what each states was so.
        weights: (n,), how much each counts; all the same if None.
    """
    p, right = np.asarray(probabilities, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    weight = np.ones(len(p)) if weights is None else np.asarray(weights, dtype=np.float64)
    place = np.minimum((p * bins).astype(np.int64), bins - 1)
    gaps = np.abs(np.bincount(place, weight * (p - right), minlength=bins))
    return float(gaps.sum() / weight.sum())
