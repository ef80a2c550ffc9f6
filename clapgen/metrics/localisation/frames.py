"""How well scores tell the frames where a sound is from those where it is not."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.base import NotMeasurable
from clapgen.metrics.embeddings.calibration import expected_calibration_error


@dataclass(frozen=True)
class ScoredCurve:
    """The scores of one query over one sound, and the truth.

    Attributes:
        query: what was looked for.
        scores: (frames,), higher where the sound is thought to be.
        truth: (frames,), where it is; nowhere if the query is of an absent sound.
    """

    query: str
    scores: npt.NDArray[np.float32]
    truth: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.scores.shape != self.truth.shape or self.scores.ndim != 1:
            raise ClapgenError(
                f"scores and truth must be one value per frame, not of shapes {self.scores.shape}, {self.truth.shape}."
            )

    @property
    def present(self) -> bool:
        """Whether the sound is anywhere."""
        return bool(self.truth.any())


@dataclass(frozen=True)
class FrameAuroc:
    """Areas under the ROC curve of frames, 0 to 1, 0.5 for chance; None where there is nothing to compare.

    Attributes:
        macro: the mean over queries of the area of all frames of one query, in sounds with and without it.
        micro: the area of all frames of all queries in one: one threshold has to serve all queries.
        within: the mean over curves of queries that are present, of frames in and out of the event in the same sound:
            localisation alone.
        of_query: the areas that `macro` is the mean of.
    """

    macro: float | None
    micro: float | None
    within: float | None
    of_query: dict[str, float] = field(repr=False)


def auroc(scores: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """The probability that a true item has a higher score than a false one; equal scores count half.

    Args:
        scores: (n,), finite.
        truth: (n,), whether each is true; both kinds occur.

    Raises:
        NotMeasurable: only one kind.
    """
    values, true = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=bool)
    n_true = int(true.sum())
    if not 0 < n_true < len(true):
        raise NotMeasurable("An area under the ROC curve needs true and false items.")
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # of equal scores, the mean
    return float((ranks[true].sum() - n_true * (n_true + 1) / 2) / (n_true * (len(true) - n_true)))


def frame_auroc(curves: Sequence[ScoredCurve]) -> FrameAuroc:
    """The three areas of `FrameAuroc`."""
    by_query: dict[Hashable, list[ScoredCurve]] = {}
    for curve in curves:
        by_query.setdefault(curve.query, []).append(curve)
    of_query = {str(query): area for query, own in by_query.items() if (area := _area(own)) is not None}
    within = [area for curve in curves if (area := _area([curve])) is not None]
    return FrameAuroc(_mean(list(of_query.values())), _area(curves), _mean(within), of_query)


def balanced_calibration_error(curves: Sequence[ScoredCurve], bins: int = 10) -> float:
    """ECE (Guo et al. 2017) of probabilities, where frames with and without the sound weigh the same in sum.

    That is what the probabilities of `clapgen.localisation` state: as if the sound were there half of the time.

    Raises:
        NotMeasurable: frames of one kind alone.
    """
    scores, truth = _joined(curves)
    share = truth.mean() if len(truth) else 0.0
    if not 0 < share < 1:
        raise NotMeasurable("Calibration needs frames with and without the sound.")
    return expected_calibration_error(scores, truth, bins, np.where(truth, 0.5 / share, 0.5 / (1 - share)))


def mean_of_absent(curves: Sequence[ScoredCurve]) -> float:
    """The mean score of queries for sounds that are not there, over all of their frames.

    Raises:
        NotMeasurable: every query is present.
    """
    absent = [curve.scores for curve in curves if not curve.present and len(curve.scores)]
    if not absent:
        raise NotMeasurable("No query is for a sound that is absent.")
    return float(np.concatenate(absent).mean(dtype=np.float64))


def _area(curves: Sequence[ScoredCurve]) -> float | None:
    try:
        return auroc(*_joined(curves))
    except NotMeasurable:
        return None


def _joined(curves: Sequence[ScoredCurve]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    scores = [np.zeros(0, dtype=np.float32), *(curve.scores for curve in curves)]
    return np.concatenate(scores), np.concatenate([np.zeros(0, dtype=bool), *(curve.truth for curve in curves)])


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
