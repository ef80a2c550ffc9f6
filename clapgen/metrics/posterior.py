"""Divergence and inception score from class posteriors, such as the zero-shot softmax over a set of labels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings import Array, Embeddings, as_embeddings


@dataclass(frozen=True)
class PosteriorDivergence:
    """KL(reference ‖ generated) in nats, 0 or more, lower is better: of n pairs (n,), and its mean."""

    mean: float
    divergences: Array = field(repr=False)


class InceptionScoreAccumulator:
    """Inception score over batches; processes merge theirs. Holds one number a class."""

    def __init__(self) -> None:
        self._count = 0
        self._negative_entropy = 0.0
        self._total: Array = np.zeros(0)

    def update(self, posteriors: Embeddings) -> None:
        """Add posteriors (n, classes), n ≥ 1."""
        batch = _as_posteriors(posteriors, "posteriors", width=len(self._total) or None)
        self._add(len(batch), float(_relative_log(batch, batch).sum()), batch.sum(0))

    def merge(self, other: InceptionScoreAccumulator) -> None:
        """Add what another accumulator saw."""
        if not other._count:
            return
        if self._count and len(self._total) != len(other._total):
            raise ClapgenError(
                f"Posteriors over {len(self._total)} and over {len(other._total)} classes cannot be joined."
            )
        self._add(other._count, other._negative_entropy, other._total)

    def compute(self) -> float:
        """The score of all posteriors so far; see `inception_score`."""
        if not self._count:
            raise ClapgenError("An inception score needs at least 1 posterior.")
        marginal = self._total / self._count
        information = self._negative_entropy / self._count - float(_relative_log(marginal, marginal).sum())
        return float(np.exp(max(0.0, information)))

    def _add(self, count: int, negative_entropy: float, total: Array) -> None:
        self._total = self._total + total if self._count else total.copy()
        self._count += count
        self._negative_entropy += negative_entropy


def inception_score(posteriors: Embeddings) -> float:
    """exp of the mean KL(p(class | sound) ‖ p(class)) (Salimans et al. 2016), 1 to the number of classes.

    High when every sound is surely of one class and all classes occur. Over all items at once, not the mean of ten
    splits, which would hang on their order.

    Args:
        posteriors: probabilities (n, classes), rows summing to 1.

    Raises:
        ClapgenError: no items, NaN, or rows that are no probabilities.
    """
    accumulator = InceptionScoreAccumulator()
    accumulator.update(posteriors)
    return accumulator.compute()


def posterior_divergence(reference: Embeddings, generated: Embeddings) -> PosteriorDivergence:
    """KL(reference ‖ generated) = Σ p_ref log(p_ref / p_gen) of pairs, in nats.

    The direction is that of AudioGen (Kreuk et al. 2023). The other one is another measure, and so is another label set
    or temperature: say them with the figure. Nothing is added inside the logarithm: a pair is infinite where the
    generated posterior is exactly 0 and the reference is not.

    Args:
        reference, generated: probabilities (n, classes), row i of one belonging to row i of the other.

    Raises:
        ClapgenError: no items, different counts or classes, NaN, or rows that are no probabilities.
    """
    p = _as_posteriors(reference, "reference posteriors")
    q = _as_posteriors(generated, "generated posteriors", width=p.shape[1])
    if len(p) != len(q):
        raise ClapgenError(f"Pairs need partners: there are {len(p)} reference posteriors and {len(q)} generated ones.")
    divergences = (_relative_log(p, p) - _relative_log(p, q)).sum(1).clip(0)
    return PosteriorDivergence(float(np.sort(divergences).mean()), divergences)


def _as_posteriors(values: Embeddings, name: str, width: int | None = None) -> Array:
    table = as_embeddings(values, name, width=width)
    sums = table.sum(1)
    wrong = np.flatnonzero((table < 0).any(1) | (np.abs(sums - 1) > 1e-2))  # bfloat16 sums to within this
    if len(wrong):
        raise ClapgenError(
            f"{len(wrong)} of {len(table)} {name} are no probabilities: item {wrong[0]} sums to "
            f"{sums[wrong[0]]:.4g}, its least is {table[wrong[0]].min():.4g}. Were they passed through a softmax?"
        )
    return table / sums[:, None]


def _relative_log(weights: Array, probabilities: Array) -> Array:
    """weights · log(probabilities), 0 where the weight is 0."""
    with np.errstate(divide="ignore"):
        logs = np.log(np.where(weights > 0, probabilities, 1.0))
    return weights * logs
