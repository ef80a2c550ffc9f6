"""Similarity of long sounds and texts by late interaction: attention over the segments that match the text.

The mean of a long sound's windows hides a short event. After CoLLAP (Wu et al. 2024, arXiv 2410.02271) each text
weighs the segments by how well they match it. The paper gives no formula; this one is

    score(F, t) = (Σ_s softmax_s(τ F_s·t) F_s·t + λ cos(mean F, t)) / (1 + λ)

which for a sound of one segment is its cosine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.base import Array, Embeddings, row_blocks, unit_length

TEMPERATURE = 10.0
MEAN_WEIGHT = 1.0


def segment_scores(
    segments: Sequence[Embeddings], text: Embeddings, temperature: float = TEMPERATURE, mean_weight: float = MEAN_WEIGHT
) -> Array:
    """Scores (texts, sounds), -1 to 1, of all pairs.

    Args:
        segments: for each of n sounds the embeddings (its segments, dim).
        text: embeddings (m, dim).
        temperature: τ; 0 is the mean cosine of the segments, infinity would be the largest.
        mean_weight: λ, of the cosine with the mean of the segments, which must not be zero.

    Raises:
        ClapgenError: a sound without segments, different widths, NaN, an embedding of zeros, τ or λ below 0.
    """
    if not (0 <= temperature < np.inf and 0 <= mean_weight < np.inf):
        raise ClapgenError("the temperature and the weight of the mean must be 0 or more.")
    texts = unit_length(text, "text embeddings", at_least=0)
    width = texts.shape[1]
    units = [unit_length(each, f"segments of sound {index}", width=width) for index, each in enumerate(segments)]
    if not units:
        return np.zeros((len(texts), 0))
    starts = np.cumsum([0, *map(len, units)])[:-1]
    every = np.concatenate(units)
    means = unit_length(np.stack([each.mean(0) for each in units]), "means of the segments of a sound")
    scores = np.empty((len(texts), len(units)))
    for rows in row_blocks(len(texts), 3 * len(every)):
        cosines = texts[rows] @ every.T  # (texts, all segments)
        largest = np.maximum.reduceat(cosines, starts, axis=1)
        weights = np.exp(temperature * (cosines - np.repeat(largest, [len(each) for each in units], axis=1)))
        attended = np.add.reduceat(weights * cosines, starts, axis=1) / np.add.reduceat(weights, starts, axis=1)
        scores[rows] = (attended + mean_weight * texts[rows] @ means.T) / (1 + mean_weight)
    return scores
