"""Zero-shot tagging: how well prompts rank clips that may have several labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from torch import Tensor

from clapgen.errors import ClapgenError
from clapgen.metrics.accumulator import Accumulator
from clapgen.metrics.embeddings.base import ROUNDING, Array, Embeddings, NotMeasurable, unit_length
from clapgen.metrics.embeddings.retrieval import ranks_and_precisions


@dataclass(frozen=True)
class MultiLabelPrecision:
    """mAP of tagging n clips, 0 to 1, higher is better.

    Attributes:
        mean: macro average of the labels' average precisions.
        chance: the mean for random scores: the mean share of clips that have a label.
        average_precisions: by label.
        left_out: labels without clips, which have no average precision and are not part of the mean.
        top1: share of clips (0 to 1) of which the nearest label is one of their own.
        mean_of_clips: mAP@10 of the labels of each clip, 0 to 1: the mean of `of_clips`.
        of_clips: (n,), for each clip the sum of the precisions at its own labels among the ten nearest, divided by the
            largest possible number of them; equal cosines count against the model. NaN for clips without labels.
        first_is_right: (n,), whether the nearest label is one of the clip's own.
    """

    mean: float
    chance: float
    n: int
    average_precisions: dict[str, float] = field(repr=False)
    left_out: list[str]
    top1: float
    mean_of_clips: float
    of_clips: Array = field(repr=False)
    first_is_right: npt.NDArray[np.bool_] = field(repr=False)


class MultiLabelAccumulator(Accumulator[tuple[Array, npt.NDArray[np.bool_]], MultiLabelPrecision]):
    """`multi_label_average_precision` over batches of audio (n, dim) and truth (n, labels)."""

    settings_name = "labels and prompts"

    def __init__(self, prompts: Embeddings, labels: Sequence[str]) -> None:
        self._prompts = unit_length(prompts, "prompt embeddings")
        self._labels = list(labels)
        super().__init__(self._labels, self._prompts)
        if len(self._labels) != len(self._prompts):
            raise ClapgenError(
                f"{len(self._labels)} labels and {len(self._prompts)} prompts do not pair; give equal numbers."
            )
        if len(set(self._labels)) != len(self._labels):
            raise ClapgenError("Two labels are the same; merge them.")

    def _state_of(self, audio: Embeddings, truth: npt.ArrayLike | Tensor) -> tuple[Array, npt.NDArray[np.bool_]]:
        points = unit_length(audio, "audio embeddings", width=self._prompts.shape[1])
        table = np.asarray(truth.cpu() if isinstance(truth, Tensor) else truth)
        shape = (len(points), len(self._labels))
        if table.shape != shape or not np.isin(table, (0, 1)).all():
            raise ClapgenError(f"The truth must be 0 or 1 for each of {shape[0]} clips and {shape[1]} labels.")
        decimals = round(-np.log10(ROUNDING))  # equal in float32 is equal
        return (points @ self._prompts.T).round(decimals), table.astype(bool)

    def _result_of(self, states: Sequence[tuple[Array, npt.NDArray[np.bool_]]]) -> MultiLabelPrecision:
        if not states:
            raise NotMeasurable("Tagging needs at least 1 clip.")
        cosines, truth = np.concatenate([state[0] for state in states]), np.concatenate([state[1] for state in states])
        present = truth.sum(0) > 0
        if not present.any():
            raise ClapgenError("No clip has any of the labels; check their spelling.")
        precisions = {
            label: average_precision(cosines[:, index], truth[:, index])
            for index, label in enumerate(self._labels)
            if present[index]
        }
        labelled = truth.any(1)
        ranks, of_clips = np.zeros(len(truth), dtype=np.int64), np.full(len(truth), np.nan)
        ranks[labelled], of_clips[labelled], _ = ranks_and_precisions(cosines[labelled], truth[labelled])
        return MultiLabelPrecision(
            mean=float(np.mean(list(precisions.values()))),
            chance=float(truth[:, present].mean()),
            n=len(truth),
            average_precisions=precisions,
            left_out=[label for label, some in zip(self._labels, present, strict=True) if not some],
            top1=float((ranks[labelled] == 1).mean()),
            mean_of_clips=float(of_clips[labelled].mean()),
            of_clips=of_clips,
            first_is_right=ranks == 1,
        )


def multi_label_average_precision(
    audio: Embeddings, prompts: Embeddings, truth: npt.ArrayLike | Tensor, labels: Sequence[str]
) -> MultiLabelPrecision:
    """Macro mAP of the cosines to the labels' prompts, the metric of FSD50K and AudioSet.

    Args:
        audio: embeddings (n, dim).
        prompts: embeddings (labels, dim), such as from `zero_shot.prompt_embeddings`.
        truth: 0 or 1 (n, labels).
        labels: their names.

    Raises:
        ClapgenError: no clips, different counts or widths, no clip with a label, NaN, an embedding of zeros.
    """
    return MultiLabelAccumulator(prompts, labels).of(audio, truth)


def average_precision(scores: Array, relevant: npt.NDArray[np.bool_]) -> float:
    """Σ (recall gained) · precision over falling scores, without interpolation, like scikit-learn's.

    Equal scores are one step, so their order does not matter: constant scores give the share of relevant items.

    Args:
        scores: (n,), n ≥ 1.
        relevant: (n,), at least one true.
    """
    order = np.argsort(-scores, kind="stable")
    hits = relevant[order].cumsum()
    step_ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    precision = hits[step_ends] / (step_ends + 1)
    gained = np.diff(hits[step_ends], prepend=0) / hits[-1]
    return float(precision @ gained)
