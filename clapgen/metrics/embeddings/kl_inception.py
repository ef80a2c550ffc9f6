"""Divergence and inception score from class posteriors, such as the zero-shot softmax over a set of labels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.base import Array, Embeddings, as_embeddings

REFERENCE_TO_GENERATED = "KL(reference ‖ generated)"
GENERATED_TO_REFERENCE = "KL(generated ‖ reference)"


@dataclass(frozen=True)
class PosteriorDivergence:
    """KL in nats, 0 or more, lower is better: the mean of n pairs, and each one's (n,).

    Of the mean posteriors of two sets, `mean` is theirs and `divergences` (1,) holds it alone. `infinite` counts the
    pairs whose divergence is infinite; if there are any, so is the mean. `direction` and `floor` say what was computed.
    """

    mean: float
    divergences: Array = field(repr=False)
    infinite: int
    direction: str
    floor: float


class PosteriorDivergenceAccumulator:
    """`posterior_divergence` over batches; processes of the same settings merge theirs. Holds one number a pair."""

    def __init__(self, *, reverse: bool = False, floor: float = 0.0) -> None:
        self._reverse, self._floor = reverse, _checked_floor(floor)
        self._divergences: list[Array] = []
        self._classes: int | None = None

    def update(self, reference: Embeddings, generated: Embeddings) -> None:
        """Add a batch of pairs, both (n, classes), row by row."""
        p = _as_posteriors(reference, "reference posteriors", width=self._classes)
        q = _as_posteriors(generated, "generated posteriors", width=p.shape[1])
        if len(p) != len(q):
            raise ClapgenError(
                f"Pairs need partners: there are {len(p)} reference posteriors and {len(q)} generated ones."
            )
        self._classes = p.shape[1]
        if self._floor * self._classes >= 1:
            raise ClapgenError(f"The floor {self._floor} is too much for {self._classes} classes; take a smaller one.")
        self._divergences.append(_kl(q, p, self._floor) if self._reverse else _kl(p, q, self._floor))

    def merge(self, other: PosteriorDivergenceAccumulator) -> None:
        """Add the pairs another accumulator saw, after those seen here."""
        if (self._reverse, self._floor) != (other._reverse, other._floor):
            raise ClapgenError("Divergences of different directions or floors cannot be joined.")
        if self._classes and other._classes and self._classes != other._classes:
            raise ClapgenError(f"Posteriors over {self._classes} and over {other._classes} classes cannot be joined.")
        self._classes = self._classes or other._classes
        self._divergences.extend(other._divergences)

    def compute(self) -> PosteriorDivergence:
        """The divergences of all pairs so far."""
        if not self._divergences:
            raise ClapgenError("A divergence needs at least 1 pair of posteriors.")
        return _divergence(np.concatenate(self._divergences), self._reverse, self._floor)


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


def posterior_divergence(
    reference: Embeddings, generated: Embeddings, *, reverse: bool = False, floor: float = 0.0
) -> PosteriorDivergence:
    """KL(reference ‖ generated) = Σ p_ref log(p_ref / p_gen) of pairs, in nats.

    The direction is that of AudioGen (Kreuk et al. 2023); `reverse` gives the other one, which is another measure. So
    is another label set, temperature or floor: say them with the figure. Without a floor nothing is added inside the
    logarithm, and a pair is infinite (counted in `infinite`) where the one posterior is exactly 0 and the other is not.
    A softmax in float64 is never 0 over cosines at any usual temperature; in float32 it may be.

    Args:
        reference, generated: probabilities (n, classes), row i of one belonging to row i of the other.
        reverse: KL(generated ‖ reference) instead.
        floor: what no probability goes below, in 0 to 1 / classes: so much of the even posterior is mixed in. With one
            every divergence is finite, log(1 / floor) at most (audiocraft adds 1e-6 inside the logarithm).

    Raises:
        ClapgenError: no items, different counts or classes, NaN, rows that are no probabilities, a floor out of range.
    """
    accumulator = PosteriorDivergenceAccumulator(reverse=reverse, floor=floor)
    accumulator.update(reference, generated)
    return accumulator.compute()


def mean_posterior_divergence(
    reference: Embeddings, generated: Embeddings, *, reverse: bool = False, floor: float = 0.0
) -> PosteriorDivergence:
    """KL of the mean posteriors of two unpaired sets: whether the classes come in the same shares.

    Never above the mean over pairs, whatever the pairing. Says nothing of single sounds: clips of unsure posteriors and
    clips surely of many classes may have one mean.

    Args:
        reference: probabilities (m, classes).
        generated: probabilities (n, classes).
        reverse, floor: as in `posterior_divergence`.

    Raises:
        ClapgenError: as `posterior_divergence`, but for different counts.
    """
    p = _as_posteriors(reference, "reference posteriors")
    q = _as_posteriors(generated, "generated posteriors", width=p.shape[1])
    return posterior_divergence(p.mean(0, keepdims=True), q.mean(0, keepdims=True), reverse=reverse, floor=floor)


def _divergence(divergences: Array, reverse: bool, floor: float) -> PosteriorDivergence:
    direction = GENERATED_TO_REFERENCE if reverse else REFERENCE_TO_GENERATED
    infinite = int(np.isinf(divergences).sum())
    return PosteriorDivergence(float(np.sort(divergences).mean()), divergences, infinite, direction, floor)


def _kl(p: Array, q: Array, floor: float) -> Array:
    p, q = ((1 - floor * p.shape[1]) * table + floor for table in (p, q))
    return (_relative_log(p, p) - _relative_log(p, q)).sum(1).clip(0)


def _checked_floor(floor: float) -> float:
    if not 0 <= floor < 1:
        raise ClapgenError(f"The floor of probabilities must lie between 0 and 1 / classes, not be {floor}.")
    return float(floor)


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
