"""Modality gap: the distance between audio and text in a joint embedding space (Liang et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.base import Array, Embeddings, row_blocks, unit_length

_ROUNDING = 1e-12  # cosines closer than this are equal, computed in another order


@dataclass(frozen=True)
class ModalityGap:
    """How audio and text of n pairs lie on the unit sphere.

    centroid_distance: length of the vector between the two means, 0 to 2; 0 is no gap.
    paired_cosine: mean cosine of a sound with its own caption, −1 to 1.
    unpaired_cosine: mean cosine of a sound with the captions of the n − 1 others, −1 to 1.
    crossing_rate: share of all 2n points whose nearest neighbour is of the other modality, 0 to 1. 0 where the two
    form clouds of their own, 0.5 expected where they are mixed, near 1 where pairs lie closer than anything else.
    audio_crossing_rate, text_crossing_rate: the same of the n sounds, and of the n captions.
    """

    centroid_distance: float
    paired_cosine: float
    unpaired_cosine: float
    crossing_rate: float
    audio_crossing_rate: float
    text_crossing_rate: float


def modality_gap(audio: Embeddings, text: Embeddings) -> ModalityGap:
    """The modality gap of pairs, after "Mind the Gap" (Liang et al. 2022), with 1-NN crossing rates.

    Embeddings are brought to length 1 first. A point is not its own neighbour; its partner may be. Where a point's
    nearest neighbours of both modalities are equally near (copies), it counts as half a crossing. Memory is bounded;
    time is n².

    Args:
        audio, text: embeddings (n, dim) of one model, n ≥ 2, row i of one belonging to row i of the other.

    Raises:
        ClapgenError: fewer than 2 pairs, different counts or widths, NaN, an embedding of zeros.
    """
    sounds = unit_length(audio, "audio embeddings", at_least=2)
    captions = unit_length(text, "text embeddings", at_least=2, width=sounds.shape[1])
    if len(sounds) != len(captions):
        raise ClapgenError(
            f"Pairs need partners: there are {len(sounds)} audio embeddings and {len(captions)} text embeddings."
        )
    count = len(sounds)
    paired = float((sounds * captions).sum())
    unpaired = float(sounds.sum(0) @ captions.sum(0)) - paired
    rates = _crossing_rate(sounds, captions), _crossing_rate(captions, sounds)
    return ModalityGap(
        centroid_distance=float(np.linalg.norm(sounds.mean(0) - captions.mean(0))),
        paired_cosine=paired / count,
        unpaired_cosine=unpaired / (count * (count - 1)),
        crossing_rate=sum(rates) / 2,
        audio_crossing_rate=rates[0],
        text_crossing_rate=rates[1],
    )


def _crossing_rate(points: Array, others: Array) -> float:
    crossings = 0.0
    for rows in row_blocks(len(points), len(points)):
        within = points[rows] @ points.T
        within[np.arange(len(within)), np.arange(rows.start, rows.stop)] = -np.inf  # itself
        lead = (points[rows] @ others.T).max(1) - within.max(1)
        crossings += float((lead > _ROUNDING).sum()) + 0.5 * float((np.abs(lead) <= _ROUNDING).sum())
    return crossings / len(points)
