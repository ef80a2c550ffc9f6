"""Precision, recall, density and coverage against loops; diversity and novelty on constructed sets."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings import base as embeddings
from clapgen.metrics.embeddings.prdc import (
    NoveltyAccumulator,
    diversity,
    novelty,
    precision_recall_density_coverage,
)


def points(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 5)) + shift


@pytest.fixture(params=["one block", "many blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    if request.param == "many blocks":
        monkeypatch.setattr(embeddings, "BLOCK_VALUES", 60)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize(("k", "shift"), [(1, 0.0), (3, 0.5), (5, 1.0)])
def test_scores_equal_loops_over_balls(k: int, shift: float):
    made, real = points(30, 0, shift), points(25, 1)
    between = cdist(real, made)
    real_radii = np.sort(cdist(real, real), axis=1)[:, k]
    made_radii = np.sort(cdist(made, made), axis=1)[:, k]
    in_real = [[between[i, j] <= real_radii[i] for i in range(25)] for j in range(30)]  # generated, reference
    in_made = [[between[i, j] <= made_radii[j] for j in range(30)] for i in range(25)]

    scores = precision_recall_density_coverage(made, real, nearest_k=k)
    assert scores.precision == pytest.approx(np.mean([any(row) for row in in_real]))
    assert scores.recall == pytest.approx(np.mean([any(row) for row in in_made]))
    assert scores.density == pytest.approx(np.mean([sum(row) / k for row in in_real]))
    assert scores.coverage == pytest.approx(np.mean([any(column) for column in zip(*in_real, strict=True)]))


def test_a_collapsed_generator_is_precise_and_covers_little():
    real = points(200, 0)
    scores = precision_recall_density_coverage(points(100, 1) * 0.01, real)
    assert scores.precision == 1.0 and scores.recall == 0.0 and scores.coverage < 0.5


def test_copies_are_found_and_other_items_are_not():
    real = points(50, 0)
    copied = precision_recall_density_coverage(real, real)
    assert (copied.precision, copied.recall, copied.coverage) == (1.0, 1.0, 1.0)
    strange = precision_recall_density_coverage(real + 1000, real)
    assert (strange.precision, strange.recall, strange.density, strange.coverage) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.usefixtures("blocks")
def test_diversity_is_the_mean_distance_of_pairs():
    table = points(40, 2, shift=100)
    assert diversity(table) == pytest.approx(pdist(table).mean())
    assert diversity(np.repeat(table[:1], 10, axis=0)) == 0.0


@pytest.mark.usefixtures("blocks")
def test_novelty_finds_the_nearest_training_item():
    made, training = points(20, 0), points(70, 1)
    cosines = 1 - cdist(made, training, "cosine")
    result = novelty(3 * made, training)
    assert result.similarities == pytest.approx(cosines.max(1)) and (result.neighbours == cosines.argmax(1)).all()
    assert result.mean == pytest.approx(cosines.max(1).mean())
    assert result.share_above(0.8) == pytest.approx((cosines.max(1) > 0.8).mean())


def test_copied_training_items_are_detected():
    training = points(60, 0)
    made = points(10, 1)
    made[3], made[7] = 2 * training[41], training[5] + 0.01
    first, second = novelty(made, training).near_duplicates(0.99)
    assert (first.generated, first.training) == (3, 41) and first.similarity == pytest.approx(1)
    assert (second.generated, second.training) == (7, 5) and second.similarity < first.similarity


def test_novelty_in_batches_and_merged_is_novelty_of_all():
    made, training = points(20, 0), points(70, 1)
    one, two = NoveltyAccumulator(made), NoveltyAccumulator(made)
    one.update(training[:10])
    one.update(training[10:31])
    two.update(training[31:])
    one.merge(two)
    merged, whole = one.compute(), novelty(made, training)
    assert merged.similarities == pytest.approx(whole.similarities)
    assert (merged.neighbours == whole.neighbours).all()


def test_errors_name_what_is_wrong():
    good = points(10, 0)
    with pytest.raises(ClapgenError, match="4 generated embeddings: this metric needs at least 6"):
        precision_recall_density_coverage(good[:4], good)
    with pytest.raises(ClapgenError, match="nearest_k must be at least 1"):
        precision_recall_density_coverage(good, good, nearest_k=0)
    with pytest.raises(ClapgenError, match="generated embeddings have 2 dimensions"):
        precision_recall_density_coverage(good[:, :2], good)
    with pytest.raises(ClapgenError, match="1 embeddings: this metric needs at least 2"):
        diversity(good[:1])
    with pytest.raises(ClapgenError, match="training embeddings have 2 dimensions"):
        novelty(good, good[:, :2])
    with pytest.raises(ClapgenError, match="at least 1 training"):
        NoveltyAccumulator(good).compute()
    with pytest.raises(ClapgenError, match="the same generated"):
        NoveltyAccumulator(good).merge(NoveltyAccumulator(good + 1))


def test_the_edge_of_a_ball_is_inside():
    reference = np.array([[0.0], [1.0], [2.0]])  # balls of radius 1
    scores = precision_recall_density_coverage(np.array([[3.0], [13.0]]), reference, nearest_k=1)
    assert (scores.precision, scores.coverage) == (1 / 2, 1 / 3)
    scores = precision_recall_density_coverage(np.array([[5.0], [8.0]]), reference, nearest_k=1)  # of radius 3
    assert scores.recall == 1 / 3
