"""CLAP score: its mean, the coverage of its interval, and a floor in which no item keeps its partner."""

import numpy as np
import pytest
import torch

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.clap_score import (
    ClapScoreAccumulator,
    bootstrap_interval,
    clap_score,
    clap_score_bounds,
    derangement,
    paired_cosines,
)


def pairs(count: int, seed: int = 0, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    audio = rng.normal(size=(count, 16))
    return audio, audio + noise * rng.normal(size=audio.shape)


def test_score_is_the_mean_cosine_of_pairs_of_any_length():
    audio, text = pairs(20)
    expected = [a @ t / np.linalg.norm(a) / np.linalg.norm(t) for a, t in zip(audio, text, strict=True)]
    score = clap_score(7 * audio, 1e-200 * text)
    assert score.cosines == pytest.approx(expected)
    assert score.mean == pytest.approx(np.mean(expected)) and score.std == pytest.approx(np.std(expected, ddof=1))
    assert score.interval is not None and score.interval[0] < score.mean < score.interval[1]


def test_tensors_of_any_precision_are_accepted():
    audio, text = (torch.tensor(table, dtype=torch.bfloat16, requires_grad=True) for table in pairs(5))
    assert clap_score(audio, text).mean == pytest.approx(clap_score(*pairs(5)).mean, abs=0.01)


def test_score_does_not_depend_on_order_or_batches():
    audio, text = pairs(30)
    whole = clap_score(audio, text, seed=3)
    one, two = ClapScoreAccumulator(), ClapScoreAccumulator()
    two.update(audio[::2], text[::2])
    one.update(audio[1:9:2], text[1:9:2])
    one.update(audio[9::2], text[9::2])
    one.merge(two)
    merged = one.compute(seed=3)
    assert (merged.mean, merged.std, merged.interval) == (whole.mean, whole.std, whole.interval)


def test_one_pair_has_a_score_but_no_spread():
    score = clap_score(*pairs(1))
    assert -1 <= score.mean <= 1 and score.std is None and score.interval is None


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_interval_covers_the_true_mean_as_often_as_it_claims(confidence: float):
    rng = np.random.default_rng(0)
    samples = rng.beta(4, 2, size=(400, 60))  # skewed, as cosines are
    intervals = [
        bootstrap_interval(sample, confidence=confidence, resamples=400, seed=seed)
        for seed, sample in enumerate(samples)
    ]
    covered = np.mean([low <= 4 / 6 <= high for low, high in intervals])
    assert covered == pytest.approx(confidence, abs=0.04)  # two standard errors of 400 trials, and a little narrow


def test_ceiling_is_real_pairs_and_floor_is_shuffled_pairs():
    audio, text = pairs(200, noise=0.3)
    bounds = clap_score_bounds(audio, text)
    assert bounds.ceiling.mean == clap_score(audio, text).mean > 0.9
    assert abs(bounds.floor.mean) < 0.1


@pytest.mark.parametrize("count", [2, 3, 10, 101])
def test_derangement_moves_everything(count: int):
    order = derangement(count, seed=count)
    assert sorted(order) == list(range(count)) and (order != np.arange(count)).all()
    assert (order == derangement(count, seed=count)).all()


@pytest.mark.parametrize("sizes", [(3, 3), (5, 4, 1), (1, 1, 1, 2, 2), (4,) * 50])
def test_derangement_separates_groups(sizes: tuple[int, ...]):
    groups = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    order = derangement(len(groups), groups=groups.tolist())
    assert sorted(order) == list(range(len(groups))) and (groups[order] != groups).all()


def test_errors_name_what_is_wrong():
    audio, text = pairs(4)
    with pytest.raises(ClapgenError, match="4 first embeddings and 3 second"):
        paired_cosines(audio, text[:3])
    with pytest.raises(ClapgenError, match="second embeddings have 8 dimensions, the others 16"):
        paired_cosines(audio, text[:, :8])
    with pytest.raises(ClapgenError, match="1 of 4 second embeddings contain NaN or infinity; the first is item 2"):
        paired_cosines(audio, np.where(np.arange(4)[:, None] == 2, np.nan, text))
    with pytest.raises(ClapgenError, match="1 of 4 first embeddings are all zeros; the first is item 0"):
        paired_cosines(audio * (np.arange(4)[:, None] > 0), text)
    with pytest.raises(ClapgenError, match=r"must be a table \(items, dim\), not of shape \(16,\)"):
        paired_cosines(audio[0], text)
    with pytest.raises(ClapgenError, match="3 of 4 items share a group"):
        derangement(4, groups=["dog", "dog", "cat", "dog"])
    with pytest.raises(ClapgenError, match="at least 2"):
        clap_score_bounds(audio[:1], text[:1])
    with pytest.raises(ClapgenError, match="at least 1 pair"):
        ClapScoreAccumulator().compute()
