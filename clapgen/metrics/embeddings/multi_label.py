"""Zero-shot tagging: how well prompts order the clips that may have several labels each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from torch import Tensor

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.base import Array, Embeddings, unit_length


@dataclass(frozen=True)
class MultiLabelPrecision:
    """mAP of tagging n clips, 0 to 1, higher is better.

    mean: macro average of the labels' average precisions. average_precisions: label → its own. chance: the mean that
    random scores reach, the mean share of clips that have a label. left_out: labels that no clip has, and that
    therefore have no average precision and no part in the mean.
    """

    mean: float
    chance: float
    n: int
    average_precisions: dict[str, float] = field(repr=False)
    left_out: list[str]


class MultiLabelAccumulator:
    """`multi_label_average_precision` over batches; processes with the same labels merge theirs."""

    def __init__(self, prompts: Embeddings, labels: Sequence[str]) -> None:
        self._prompts = unit_length(prompts, "prompt embeddings")
        self._labels = list(labels)
        if len(self._labels) != len(self._prompts):
            raise ClapgenError(
                f"{len(self._labels)} labels and {len(self._prompts)} prompts do not pair; give as many."
            )
        if len(set(self._labels)) != len(self._labels):
            raise ClapgenError("Two labels are the same; join their clips under one.")
        self._cosines: list[Array] = []
        self._truth: list[npt.NDArray[np.bool_]] = []

    def update(self, audio: Embeddings, truth: npt.ArrayLike | Tensor) -> None:
        """Add clips: embeddings (n, dim), and whether (n, labels) each one has each label."""
        points = unit_length(audio, "audio embeddings", width=self._prompts.shape[1])
        table = np.asarray(truth.cpu() if isinstance(truth, Tensor) else truth)
        shape = (len(points), len(self._labels))
        if table.shape != shape or not np.isin(table, (0, 1)).all():
            raise ClapgenError(f"The truth must be 0 or 1 for each of {shape[0]} clips and {shape[1]} labels.")
        self._cosines.append((points @ self._prompts.T).round(6))  # what float32 cannot tell apart is equal
        self._truth.append(table.astype(bool))

    def merge(self, other: MultiLabelAccumulator) -> None:
        """Add the clips another accumulator saw."""
        if self._labels != other._labels or not np.array_equal(self._prompts, other._prompts):
            raise ClapgenError("Tagging figures can only be merged for the same labels and prompts.")
        self._cosines.extend(other._cosines)
        self._truth.extend(other._truth)

    def compute(self) -> MultiLabelPrecision:
        """Figures of all clips so far."""
        if not self._cosines:
            raise ClapgenError("Tagging needs at least 1 clip.")
        cosines, truth = np.concatenate(self._cosines), np.concatenate(self._truth)
        present = truth.sum(0) > 0
        if not present.any():
            raise ClapgenError("No clip has any of the labels; are their names spelt as in the manifest?")
        precisions = {
            label: average_precision(cosines[:, index], truth[:, index])
            for index, label in enumerate(self._labels)
            if present[index]
        }
        return MultiLabelPrecision(
            mean=float(np.mean(list(precisions.values()))),
            chance=float(truth[:, present].mean()),
            n=len(truth),
            average_precisions=precisions,
            left_out=[label for label, some in zip(self._labels, present, strict=True) if not some],
        )


def multi_label_average_precision(
    audio: Embeddings, prompts: Embeddings, truth: npt.ArrayLike | Tensor, labels: Sequence[str]
) -> MultiLabelPrecision:
    """Macro mAP of the cosines to the labels' prompts, as FSD50K and AudioSet are scored.

    Args:
        audio: embeddings (n, dim).
        prompts: embeddings (labels, dim), such as from `zero_shot.prompt_embeddings`.
        truth: 0 or 1 (n, labels).
        labels: their names.

    Raises:
        ClapgenError: no clips, different counts or widths, no clip with a label, NaN, an embedding of zeros.
    """
    accumulator = MultiLabelAccumulator(prompts, labels)
    accumulator.update(audio, truth)
    return accumulator.compute()


def average_precision(scores: Array, relevant: npt.NDArray[np.bool_]) -> float:
    """Σ (recall gained) · precision over falling scores, without interpolation, as scikit-learn's.

    Equal scores are one step, so that their order does not matter: constant scores give the share of relevant items.

    Args:
        scores: (n,), n ≥ 1.
        relevant: (n,), one at least.
    """
    order = np.argsort(-scores, kind="stable")
    hits = relevant[order].cumsum()
    step_ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    precision = hits[step_ends] / (step_ends + 1)
    gained = np.diff(hits[step_ends], prepend=0) / hits[-1]
    return float(precision @ gained)
