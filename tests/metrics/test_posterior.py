"""KL in the direction it says, and the inception score between its two ends."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from clapgen.errors import ClapgenError
from clapgen.metrics.posterior import InceptionScoreAccumulator, inception_score, posterior_divergence


def posteriors(count: int, seed: int, classes: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.5), size=count)


def test_divergence_is_kl_of_reference_from_generated():
    reference, generated = posteriors(9, 0), posteriors(9, 1)
    result = posterior_divergence(reference, generated)
    assert result.divergences == pytest.approx([entropy(p, q) for p, q in zip(reference, generated, strict=True)])
    assert result.mean == pytest.approx(result.divergences.mean())
    assert result.mean != pytest.approx(posterior_divergence(generated, reference).mean)


def test_zeros_count_as_the_limit():
    certain, unsure = np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])
    assert posterior_divergence(certain, unsure).mean == pytest.approx(np.log(2))
    assert posterior_divergence(unsure, certain).mean == np.inf
    assert posterior_divergence(certain, certain).mean == 0


def test_half_precision_posteriors_are_taken():
    logits = torch.randn(8, 50, generator=torch.Generator().manual_seed(0))
    exact, rough = logits.softmax(1), logits.softmax(1).bfloat16()
    assert posterior_divergence(exact, rough).mean == pytest.approx(0, abs=1e-4)
    assert inception_score(rough) == pytest.approx(inception_score(exact), rel=1e-3)


def test_inception_score_is_the_exponent_of_the_mean_divergence_from_the_marginal():
    table = posteriors(40, 2)
    assert inception_score(table) == pytest.approx(np.exp(np.mean([entropy(p, table.mean(0)) for p in table])))


def test_inception_score_ends():
    assert inception_score(np.eye(7)) == pytest.approx(7)  # every class, surely
    assert inception_score(np.repeat(np.eye(7)[:1], 5, axis=0)) == 1  # one class
    assert inception_score(np.full((5, 7), 1 / 7)) == pytest.approx(1)  # never sure


def test_batches_and_merging_change_nothing():
    table = posteriors(40, 3)
    one, two = InceptionScoreAccumulator(), InceptionScoreAccumulator()
    one.update(table[:1])
    two.update(table[1:30])
    two.update(table[30:])
    one.merge(two)
    one.merge(InceptionScoreAccumulator())
    assert one.compute() == pytest.approx(inception_score(table))


def test_errors_say_what_is_wrong():
    good = posteriors(4, 0)
    with pytest.raises(ClapgenError, match="4 reference posteriors and 3 generated"):
        posterior_divergence(good, good[:3])
    with pytest.raises(ClapgenError, match="generated posteriors have 5 dimensions"):
        posterior_divergence(good, posteriors(4, 0, classes=5))
    with pytest.raises(ClapgenError, match=r"4 of 4 posteriors are no probabilities.*softmax"):
        inception_score(3 * good)
    with pytest.raises(ClapgenError, match="1 of 4 posteriors are no probabilities"):
        inception_score(good + np.outer([0, 1, 0, 0], [-2, 2, 0, 0, 0, 0]))
    with pytest.raises(ClapgenError, match="4 of 4 posteriors hold NaN"):
        inception_score(good * np.nan)
    with pytest.raises(ClapgenError, match="at least 1 posterior"):
        InceptionScoreAccumulator().compute()
    accumulator, other = InceptionScoreAccumulator(), InceptionScoreAccumulator()
    accumulator.update(good)
    other.update(posteriors(4, 0, classes=5))
    with pytest.raises(ClapgenError, match="over 6 and over 5 classes"):
        accumulator.merge(other)
