"""FAD against scipy's matrix root, Gaussians of known distance, and the bias that FAD-inf removes."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.decompositions import eigen_decomposition, singular_values
from clapgen.metrics.embeddings.fad import (
    Gaussian,
    GaussianAccumulator,
    frechet_audio_distance,
    frechet_audio_distance_infinity,
    frechet_audio_distance_per_item,
    frechet_distance,
)


def points(count: int, dim: int, seed: int, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return scale * rng.normal(size=(count, dim)) @ rng.normal(size=(dim, dim)) + rng.normal(size=dim)


def textbook_distance(first: np.ndarray, second: np.ndarray) -> float:
    c1, c2 = np.cov(first.T), np.cov(second.T)
    root = sqrtm(c1 @ c2)
    return float(np.square(first.mean(0) - second.mean(0)).sum() + np.trace(c1 + c2 - 2 * root.real))


@pytest.mark.parametrize(("dim", "seed"), [(2, 0), (8, 1), (32, 2), (64, 3)])
def test_equals_scipys_matrix_root_on_full_rank(dim: int, seed: int):
    first, second = points(3 * dim, dim, seed), points(4 * dim, dim, seed + 100, scale=1.5)
    assert frechet_audio_distance(first, second) == pytest.approx(textbook_distance(first, second), rel=1e-6)


def test_equals_the_closed_form_of_gaussians_that_share_axes():
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    variances = rng.uniform(0, 4, size=(2, 6))
    variances[0, 0] = 0  # a flat direction is no harm
    means = rng.normal(size=(2, 6))
    first, second = (Gaussian(m, axes @ np.diag(v) @ axes.T, 100) for m, v in zip(means, variances, strict=True))
    expected = np.square(means[0] - means[1]).sum() + np.square(np.sqrt(variances[0]) - np.sqrt(variances[1])).sum()
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)


def test_fewer_items_than_dimensions_are_exact():
    few = points(20, 128, 4)
    assert 0 <= frechet_audio_distance(few, few) < 1e-9
    assert frechet_audio_distance(few, few + 1) == pytest.approx(128)
    other = points(30, 128, 5)
    a, b = ((x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (few, other))
    exact = np.square(few.mean(0) - other.mean(0)).sum() + np.square(a).sum() + np.square(b).sum()
    exact -= 2 * np.linalg.svd(a @ b.T, compute_uv=False).sum()
    assert frechet_audio_distance(few, other) == pytest.approx(exact, rel=1e-9)


def test_one_row_batches_add_up_to_the_whole():
    rows = points(40, 8, 6) + 1e4  # far from the origin, where sums of squares lose their digits
    accumulator = GaussianAccumulator()
    for row in rows:
        accumulator.update(row[None])
    result = accumulator.compute()
    assert result.count == 40 and result.mean == pytest.approx(rows.mean(0))
    assert result.covariance == pytest.approx(np.cov(rows.T), rel=1e-8, abs=1e-8)


def test_infinity_removes_the_bias_of_few_items():
    rng = np.random.default_rng(7)
    reference, generated = rng.normal(size=(20_000, 12)), rng.normal(size=(600, 12)) + 0.2
    truth = 12 * 0.2**2
    biased = frechet_audio_distance(generated, reference)
    result = frechet_audio_distance_infinity(generated, reference, smallest=60, seed=1)
    assert abs(result.value - truth) < abs(biased - truth)
    assert result.r_squared > 0.8 and result.sizes[-1] == 600 and result.distances[-1] == pytest.approx(biased)
    assert result == frechet_audio_distance_infinity(generated, reference, smallest=60, seed=1)
    assert result != frechet_audio_distance_infinity(generated, reference, smallest=60, seed=2)
    assert result == frechet_audio_distance_infinity(generated[rng.permutation(600)], reference, smallest=60, seed=1)


def test_each_items_distance_is_that_of_its_frames():
    reference = points(200, 8, 8)
    items = [points(frames, 8, 9 + frames) for frames in (2, 5, 50)]
    expected = [frechet_audio_distance(item, reference) for item in items]
    assert frechet_audio_distance_per_item(items, reference) == pytest.approx(expected, rel=1e-9)


def test_an_item_of_one_frame_is_a_point():
    reference = points(200, 8, 8)
    distance = frechet_audio_distance_per_item([reference.mean(0)[None]], reference)
    assert distance == pytest.approx(np.trace(np.cov(reference.T)))


def test_errors_name_what_is_wrong():
    good = points(10, 4, 0)
    with pytest.raises(ClapgenError, match="1 generated embeddings: this metric needs at least 2"):
        frechet_audio_distance(good[:1], good)
    with pytest.raises(ClapgenError, match="4 dimensions, the reference 3"):
        frechet_audio_distance(good, good[:, :3])
    with pytest.raises(ClapgenError, match="frames of item 1 have 2 dimensions"):
        frechet_audio_distance_per_item([good, good[:, :2]], good)
    with pytest.raises(ClapgenError, match="10 of 10 reference embeddings contain NaN"):
        frechet_audio_distance(good, good * np.nan)
    with pytest.raises(ClapgenError, match="3 or more subsets of different sizes"):
        frechet_audio_distance_infinity(good, good, smallest=9)
    with pytest.raises(ClapgenError, match="at least 4"):
        frechet_audio_distance_infinity(good[:3], good)
    accumulator, other = GaussianAccumulator(), GaussianAccumulator()
    accumulator.update(good[:1])
    with pytest.raises(ClapgenError, match="at least 2 embeddings; there are 1"):
        accumulator.compute()
    other.update(good[:, :3])
    with pytest.raises(ClapgenError, match="of 4 and of 3 dimensions"):
        accumulator.merge(other)


def test_decompositions_are_numpys_and_leave_torchs_threads_alone():
    matrix = points(40, 24, 10)
    symmetric = matrix.T @ matrix
    threads = torch.get_num_threads()
    values, vectors = eigen_decomposition(symmetric)
    assert values == pytest.approx(np.linalg.eigvalsh(symmetric))
    assert vectors * values @ vectors.T == pytest.approx(symmetric)
    for each in (matrix, matrix.T, matrix[:3]):
        assert singular_values(each) == pytest.approx(np.linalg.svd(each, compute_uv=False))
    assert torch.get_num_threads() == threads
