"""Properties of metrics for any embeddings: order, batches and merging do not matter; scaling acts as expected."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clapgen.metrics.embeddings.clap_score import clap_score
from clapgen.metrics.embeddings.fad import GaussianAccumulator, frechet_audio_distance, frechet_distance, gaussian
from clapgen.metrics.embeddings.kad import kernel_audio_distance, median_distance
from clapgen.metrics.embeddings.kl_inception import inception_score, posterior_divergence
from clapgen.metrics.embeddings.prdc import diversity, novelty, precision_recall_density_coverage

quick = settings(max_examples=25, deadline=None, derandomize=True)


@st.composite
def two_sets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Generated (n, dim) and reference (m, dim) embeddings, with fewer or more items than dimensions."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dim = draw(st.integers(1, 12))
    sizes = draw(st.tuples(st.integers(8, 30), st.integers(8, 30)))
    first, second = (rng.normal(size=(size, dim)) * draw(st.floats(0.1, 10)) + rng.normal(size=dim) for size in sizes)
    return first, second, rng


def softmax(table: np.ndarray) -> np.ndarray:
    weights = np.exp(table - table.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


@quick
@given(two_sets())
def test_order_does_not_matter(sets):
    made, real, rng = sets
    other_made, other_real = rng.permutation(made), rng.permutation(real)
    for distance in (frechet_audio_distance, lambda a, b: kernel_audio_distance(a, b).value):
        assert distance(other_made, other_real) == pytest.approx(distance(made, real), rel=1e-9, abs=1e-9)
    assert diversity(other_made) == pytest.approx(diversity(made))
    assert novelty(other_made, other_real).mean == pytest.approx(novelty(made, real).mean)
    scores, again = (precision_recall_density_coverage(*pair) for pair in ((made, real), (other_made, other_real)))
    assert vars(again) == pytest.approx(vars(scores))
    assert inception_score(softmax(other_made)) == pytest.approx(inception_score(softmax(made)))


@quick
@given(two_sets())
def test_order_of_pairs_does_not_show_in_the_last_digit(sets):
    made, real, rng = sets
    count = min(len(made), len(real))
    order = rng.permutation(count)
    one, two = clap_score(made[:count], real[:count]), clap_score(made[:count][order], real[:count][order])
    assert (one.mean, one.std, one.interval) == (two.mean, two.std, two.interval)
    p, q = softmax(made[:count]), softmax(real[:count])
    assert posterior_divergence(p, q).mean == posterior_divergence(p[order], q[order]).mean


@quick
@given(two_sets(), st.lists(st.integers(0, 30), max_size=5))
def test_batches_and_merging_are_the_joint_set(sets, cuts):
    made, real, _ = sets
    joint = gaussian(np.concatenate([made, real]))
    merged, other = GaussianAccumulator(), GaussianAccumulator()
    for batch in np.split(made, sorted(min(cut, len(made)) for cut in cuts)):
        if len(batch):
            merged.update(batch)
    other.update(real)
    merged.merge(other)
    merged.merge(GaussianAccumulator())
    result = merged.compute()
    assert result.count == joint.count and result.mean == pytest.approx(joint.mean)
    assert result.covariance == pytest.approx(joint.covariance, abs=1e-9 * np.abs(joint.covariance).max())
    assert frechet_distance(result, joint) == pytest.approx(0, abs=1e-9 * np.trace(joint.covariance))


@quick
@given(two_sets())
def test_identical_sets_are_at_zero(sets):
    _, real, _ = sets
    assert 0 <= frechet_audio_distance(real, real) <= 1e-10 * np.square(real).sum()
    assert posterior_divergence(softmax(real), softmax(real)).mean == 0
    assert novelty(real, real).mean == pytest.approx(1)
    # Unbiased MMD² leaves the n pairs of an item with itself out within the sets but not across: its bias there.
    bandwidth, n = median_distance(real), len(real)
    gaps = np.exp(-np.square(real[:, None] - real[None]).sum(-1) / (2 * bandwidth**2))
    expected = 2 * ((gaps.sum() - n) / (n * (n - 1)) - gaps.mean())
    assert kernel_audio_distance(real, real, scale=1.0).value == pytest.approx(expected, abs=1e-9)


@quick
@given(two_sets(), st.floats(0.01, 100))
def test_scaling_acts_as_expected(sets, factor):
    made, real, rng = sets
    shift = rng.normal(size=made.shape[1])
    fad, kad = frechet_audio_distance(made, real), kernel_audio_distance(made, real)
    assert frechet_audio_distance(factor * made, factor * real) == pytest.approx(factor**2 * fad, rel=1e-6)
    assert frechet_audio_distance(made + shift, real + shift) == pytest.approx(fad, rel=1e-6)
    assert frechet_audio_distance(real, made) == pytest.approx(fad, rel=1e-6)
    scaled = kernel_audio_distance(factor * made, factor * real)
    assert scaled.value == pytest.approx(kad.value, abs=1e-6)
    assert scaled.bandwidth == pytest.approx(factor * kad.bandwidth)
    assert diversity(factor * made + shift) == pytest.approx(factor * diversity(made))
    assert novelty(factor * made, real).mean == pytest.approx(novelty(made, real).mean)
