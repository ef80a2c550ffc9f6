"""Different sounds among the best: maximal marginal relevance (Carbonell and Goldstein 1998)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def diverse_order(scores: Sequence[float], vectors: npt.NDArray[np.float32], k: int, novelty: float = 0.5) -> list[int]:
    """Indices of k candidates, chosen one after another: near to the query, but unlike those chosen before.

    Each time the candidate with the largest (1 − novelty) · score − novelty · (largest cosine with a chosen one) is
    taken. Both terms are standardised over the candidates first: cosines of sounds with a text differ less than those
    of sounds with each other.

    Args:
        scores: cosine of each candidate with the query.
        vectors: (candidates, dim), of length 1.
        novelty: 0 is the order by score; 1 ignores the query after the first.
    """
    relevance = _standardised(np.asarray(scores, dtype=np.float64))
    alike = vectors @ vectors.T
    spread = max(float(alike[~np.eye(len(alike), dtype=bool)].std()) if len(alike) > 1 else 1.0, 1e-6)
    chosen: list[int] = []
    nearest = np.full(len(relevance), -np.inf)
    left = np.ones(len(relevance), dtype=bool)
    while left.any() and len(chosen) < k:
        value = relevance if not chosen else (1 - novelty) * relevance - novelty * nearest / spread
        index = int(np.flatnonzero(left)[np.argmax(value[left])])
        chosen.append(index)
        left[index] = False
        nearest = np.maximum(nearest, alike[index])
    return chosen


def _standardised(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return (values - values.mean()) / max(float(values.std()), 1e-6)
