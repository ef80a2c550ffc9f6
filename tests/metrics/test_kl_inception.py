"""KL in the stated direction, and the inception score at its extremes."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.kl_inception import (
    InceptionScoreAccumulator,
    PosteriorDivergenceAccumulator,
    inception_score,
    mean_posterior_divergence,
    posterior_divergence,
)


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


def test_the_result_has_its_direction_and_the_other_one_swaps_the_arguments():
    reference, generated = posteriors(9, 0), posteriors(9, 1)
    forth = posterior_divergence(reference, generated)
    back = posterior_divergence(reference, generated, reverse=True)
    assert back.mean == posterior_divergence(generated, reference).mean != forth.mean
    assert forth.direction == "KL(reference ‖ generated)" and back.direction == "KL(generated ‖ reference)"


def test_infinite_pairs_are_counted_and_epsilon_makes_them_finite():
    reference = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    generated = np.array([[1.0, 0.0, 0.0], [0.8, 0.2, 0.0], [1.0, 0.0, 0.0]])
    bare = posterior_divergence(reference, generated)
    assert bare.infinite == 2 and bare.mean == np.inf
    floored = posterior_divergence(reference, generated, epsilon=1e-6)
    assert floored.infinite == 0 and floored.epsilon == 1e-6 and floored.divergences.max() <= np.log(1e6)
    mixed = [(1 - 3e-6) * table + 1e-6 for table in (reference, generated)]
    assert floored.divergences == pytest.approx([entropy(p, q) for p, q in zip(*mixed, strict=True)])
    assert floored.divergences[1] == pytest.approx(bare.divergences[1], rel=1e-4)


def test_unpaired_divergence_is_that_of_the_mean_posteriors_and_below_any_pairing():
    reference, generated = posteriors(9, 0), posteriors(14, 1)
    result = mean_posterior_divergence(reference, generated)
    assert result.mean == pytest.approx(entropy(reference.mean(0), generated.mean(0)))
    same = mean_posterior_divergence(reference, generated[:9])
    pairings = [posterior_divergence(reference, np.roll(generated[:9], shift, axis=0)) for shift in range(9)]
    assert all(same.mean <= pairing.mean for pairing in pairings)
    order = np.random.default_rng(2).permutation(9)
    assert mean_posterior_divergence(reference, reference[order]).mean == pytest.approx(0, abs=1e-12)


def test_divergence_of_batches_and_merged_is_the_joint_one():
    reference, generated = posteriors(30, 5), posteriors(30, 6)
    one, two = PosteriorDivergenceAccumulator(epsilon=1e-4), PosteriorDivergenceAccumulator(epsilon=1e-4)
    one.update(reference[:1], generated[:1])
    two.update(reference[1:20], generated[1:20])
    two.update(reference[20:], generated[20:])
    one.merge(two)
    one.merge(PosteriorDivergenceAccumulator(epsilon=1e-4))
    assert one.compute().mean == posterior_divergence(reference, generated, epsilon=1e-4).mean
    with pytest.raises(ClapgenError, match="same direction and epsilon"):
        one.merge(PosteriorDivergenceAccumulator())


def test_half_precision_posteriors_are_accepted():
    logits = torch.randn(8, 50, generator=torch.Generator().manual_seed(0))
    exact, rough = logits.softmax(1), logits.softmax(1).bfloat16()
    assert posterior_divergence(exact, rough).mean == pytest.approx(0, abs=1e-4)
    assert inception_score(rough) == pytest.approx(inception_score(exact), rel=1e-3)


def test_inception_score_is_the_exponent_of_the_mean_divergence_from_the_marginal():
    table = posteriors(40, 2)
    assert inception_score(table) == pytest.approx(np.exp(np.mean([entropy(p, table.mean(0)) for p in table])))


def test_inception_score_extremes():
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


def test_errors_name_what_is_wrong():
    good = posteriors(4, 0)
    with pytest.raises(ClapgenError, match="4 reference posteriors and 3 generated"):
        posterior_divergence(good, good[:3])
    with pytest.raises(ClapgenError, match="generated posteriors have 5 dimensions"):
        posterior_divergence(good, posteriors(4, 0, classes=5))
    with pytest.raises(ClapgenError, match=r"4 of 4 posteriors are not probabilities.*softmax"):
        inception_score(3 * good)
    with pytest.raises(ClapgenError, match="1 of 4 posteriors are not probabilities"):
        inception_score(good + np.outer([0, 1, 0, 0], [-2, 2, 0, 0, 0, 0]))
    with pytest.raises(ClapgenError, match="4 of 4 posteriors contain NaN"):
        inception_score(good * np.nan)
    with pytest.raises(ClapgenError, match="at least 1 posterior"):
        InceptionScoreAccumulator().compute()
    with pytest.raises(ClapgenError, match="at least 1 pair of posteriors"):
        PosteriorDivergenceAccumulator().compute()
    with pytest.raises(ClapgenError, match=r"epsilon = 0.2 is too large for 6 classes"):
        posterior_divergence(good, good, epsilon=0.2)
    with pytest.raises(ClapgenError, match="between 0 and 1 / classes"):
        posterior_divergence(good, good, epsilon=-1.0)
    accumulator, other = InceptionScoreAccumulator(), InceptionScoreAccumulator()
    accumulator.update(good)
    other.update(posteriors(4, 0, classes=5))
    with pytest.raises(ClapgenError, match="over 6 and over 5 classes"):
        accumulator.merge(other)
