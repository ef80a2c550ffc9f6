"""Divergence and inception score from class posteriors, such as the zero-shot softmax over a set of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from clapgen.errors import ClapgenError
from clapgen.metrics.accumulator import Accumulator
from clapgen.metrics.embeddings.base import Array, Embeddings, NotMeasurable, as_embeddings

REFERENCE_TO_GENERATED = "KL(reference ‖ generated)"
GENERATED_TO_REFERENCE = "KL(generated ‖ reference)"


@dataclass(frozen=True)
class PosteriorDivergence:
    """KL divergence in nats, 0 or more, lower is better.

    Attributes:
        mean: over n pairs; infinite if any pair is.
        divergences: (n,), one per pair; (1,) for the mean posteriors of two sets.
        infinite: number of pairs with an infinite divergence.
        direction, epsilon: what was computed.
    """

    mean: float
    divergences: Array = field(repr=False)
    infinite: int
    direction: str
    epsilon: float


class PosteriorDivergenceAccumulator(Accumulator[tuple[int, Array], PosteriorDivergence]):
    """`posterior_divergence` over batches of pairs (reference, generated). Keeps one number per pair."""

    settings_name = "direction and epsilon"

    def __init__(self, *, reverse: bool = False, epsilon: float = 0.0) -> None:
        self._reverse, self._epsilon = reverse, _checked_epsilon(epsilon)
        super().__init__(reverse, epsilon)

    def _state_of(self, reference: Embeddings, generated: Embeddings) -> tuple[int, Array]:
        p = _as_posteriors(reference, "reference posteriors", width=self._states[0][0] if self._states else None)
        q = _as_posteriors(generated, "generated posteriors", width=p.shape[1])
        if len(p) != len(q):
            raise ClapgenError(
                f"Pairs need partners: there are {len(p)} reference posteriors and {len(q)} generated ones."
            )
        if self._epsilon * p.shape[1] >= 1:
            raise ClapgenError(f"epsilon = {self._epsilon} is too large for {p.shape[1]} classes; take a smaller one.")
        return p.shape[1], _kl(q, p, self._epsilon) if self._reverse else _kl(p, q, self._epsilon)

    def _reduced(self, states: list[tuple[int, Array]]) -> list[tuple[int, Array]]:
        for classes, _ in states:
            _same_classes(states[0][0], classes)
        return states

    def _result_of(self, states: Sequence[tuple[int, Array]]) -> PosteriorDivergence:
        if not states:
            raise NotMeasurable("A divergence needs at least 1 pair of posteriors.")
        return _divergence(np.concatenate([state[1] for state in states]), self._reverse, self._epsilon)


Sums = tuple[int, float, Array]  # count, sum of negative entropies, sum of posteriors (classes,)


class InceptionScoreAccumulator(Accumulator[Sums, float]):
    """`inception_score` over batches of posteriors (n, classes), n ≥ 1. Keeps one number per class."""

    def _state_of(self, posteriors: Embeddings) -> Sums:
        batch = _as_posteriors(posteriors, "posteriors")
        return len(batch), float(_relative_log(batch, batch).sum()), batch.sum(0)

    def _reduced(self, states: list[Sums]) -> list[Sums]:
        for _, _, total in states:
            _same_classes(len(states[0][2]), len(total))
        counts, entropies, totals = zip(*states, strict=True)
        return [(sum(counts), sum(entropies), sum(totals))]

    def _result_of(self, states: Sequence[Sums]) -> float:
        if not states:
            raise NotMeasurable("An inception score needs at least 1 posterior.")
        count, negative_entropy, total = states[0]
        marginal = total / count
        information = negative_entropy / count - float(_relative_log(marginal, marginal).sum())
        return float(np.exp(max(0.0, information)))


def inception_score(posteriors: Embeddings) -> float:
    """exp of the mean KL(p(class | sound) ‖ p(class)) (Salimans et al. 2016), 1 to the number of classes.

    High if each sound is clearly of one class and all classes occur. Computed over all items at once; the usual mean
    of ten splits would depend on their order.

    Args:
        posteriors: probabilities (n, classes), rows summing to 1.

    Raises:
        ClapgenError: no items, NaN, or rows that do not sum to 1.
    """
    return InceptionScoreAccumulator().of(posteriors)


def posterior_divergence(
    reference: Embeddings, generated: Embeddings, *, reverse: bool = False, epsilon: float = 0.0
) -> PosteriorDivergence:
    """KL(reference ‖ generated) = Σ p_ref log(p_ref / p_gen) of pairs, in nats.

    The direction is that of AudioGen (Kreuk et al. 2023); values of the other direction, another label set,
    temperature or epsilon do not compare, so report them. With epsilon 0, a pair is infinite (counted in `infinite`)
    where one posterior is exactly 0 and the other is not. A float64 softmax of cosines is never 0 at usual
    temperatures; a float32 one may be.

    Args:
        reference, generated: probabilities (n, classes), row i of one belonging to row i of the other.
        reverse: KL(generated ‖ reference) instead.
        epsilon: smallest probability, 0 to 1 / classes, reached by mixing in the uniform posterior. Above 0, every
            divergence is finite, at most log(1 / epsilon) (audiocraft adds 1e-6 inside the logarithm).

    Raises:
        ClapgenError: no items, different counts or classes, NaN, rows that do not sum to 1, epsilon out of range.
    """
    return PosteriorDivergenceAccumulator(reverse=reverse, epsilon=epsilon).of(reference, generated)


def mean_posterior_divergence(
    reference: Embeddings, generated: Embeddings, *, reverse: bool = False, epsilon: float = 0.0
) -> PosteriorDivergence:
    """KL of the mean posteriors of two unpaired sets: do the classes occur in the same proportions?

    Never above the mean over pairs, for any pairing. Does not depend on single sounds: uncertain clips and clips
    certain of different classes may have the same mean posterior.

    Args:
        reference: probabilities (m, classes).
        generated: probabilities (n, classes).
        reverse, epsilon: as in `posterior_divergence`.

    Raises:
        ClapgenError: as `posterior_divergence`, but for different counts.
    """
    p = _as_posteriors(reference, "reference posteriors")
    q = _as_posteriors(generated, "generated posteriors", width=p.shape[1])
    return posterior_divergence(p.mean(0, keepdims=True), q.mean(0, keepdims=True), reverse=reverse, epsilon=epsilon)


def _divergence(divergences: Array, reverse: bool, epsilon: float) -> PosteriorDivergence:
    direction = GENERATED_TO_REFERENCE if reverse else REFERENCE_TO_GENERATED
    infinite = int(np.isinf(divergences).sum())
    return PosteriorDivergence(float(np.sort(divergences).mean()), divergences, infinite, direction, epsilon)


def _kl(p: Array, q: Array, epsilon: float) -> Array:
    p, q = ((1 - epsilon * p.shape[1]) * table + epsilon for table in (p, q))
    return (_relative_log(p, p) - _relative_log(p, q)).sum(1).clip(0)


def _same_classes(first: int, second: int) -> None:
    if first != second:
        raise ClapgenError(f"Posteriors over {first} and over {second} classes cannot be joined.")


def _checked_epsilon(epsilon: float) -> float:
    if not 0 <= epsilon < 1:
        raise ClapgenError(f"epsilon must be between 0 and 1 / classes, not {epsilon}.")
    return float(epsilon)


def _as_posteriors(values: Embeddings, name: str, width: int | None = None) -> Array:
    table = as_embeddings(values, name, width=width)
    sums = table.sum(1)
    wrong = np.flatnonzero((table < 0).any(1) | (np.abs(sums - 1) > 1e-2))  # bfloat16 sums to within this
    if len(wrong):
        raise ClapgenError(
            f"{len(wrong)} of {len(table)} {name} are not probabilities: item {wrong[0]} sums to "
            f"{sums[wrong[0]]:.4g}, its minimum is {table[wrong[0]].min():.4g}. Was a softmax applied?"
        )
    return table / sums[:, None]


def _relative_log(weights: Array, probabilities: Array) -> Array:
    """weights · log(probabilities), 0 where the weight is 0."""
    with np.errstate(divide="ignore"):
        logs = np.log(np.where(weights > 0, probabilities, 1.0))
    return weights * logs
