"""KAD against a double loop, its bandwidth against scipy's pairwise distances."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings import base as embeddings
from clapgen.metrics.embeddings import kad as kernel
from clapgen.metrics.embeddings.kad import kernel_audio_distance, median_distance


def points(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 6)) + shift


def squared_mmd_by_loops(x: np.ndarray, y: np.ndarray, bandwidth: float) -> float:
    def kernel_of(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-np.square(a - b).sum() / (2 * bandwidth**2)))

    within_x = np.mean([kernel_of(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    within_y = np.mean([kernel_of(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    return float(within_x + within_y - 2 * np.mean([kernel_of(a, b) for a in x for b in y]))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch):
    """Memory for 50 numbers, so that everything happens in blocks."""
    for module in (embeddings, kernel):
        monkeypatch.setattr(module, "BLOCK_VALUES", 50)


@pytest.mark.parametrize("shift", [0.0, 0.7, 1000.0])
def test_equals_a_double_loop(shift: float):
    generated, reference = points(17, 0, shift), points(23, 1, shift / 2)
    result = kernel_audio_distance(generated, reference)
    expected = squared_mmd_by_loops(generated, reference, float(np.median(pdist(reference))))
    assert result.value == pytest.approx(1000 * expected, rel=1e-9)
    assert result.bandwidth == pytest.approx(np.median(pdist(reference))) and result.scale == 1000


@pytest.mark.usefixtures("small_blocks")
def test_blocks_change_nothing():
    test_equals_a_double_loop(0.7)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("count", [2, 3, 12, 41, 60])
def test_median_is_exact_in_little_memory(count: int):
    table = points(count, count)
    assert median_distance(table) == pytest.approx(np.median(pdist(table)), rel=1e-12)
    steps = table.round()  # many equal distances
    assert median_distance(steps) == pytest.approx(np.median(pdist(steps)), abs=1e-6)


def test_bandwidth_is_of_the_reference_alone_or_given():
    generated, reference = points(20, 0), points(20, 1)
    assert kernel_audio_distance(9 * generated, reference).bandwidth == median_distance(reference)
    given = kernel_audio_distance(generated, reference, bandwidth=1.5, scale=1.0)
    assert given.value == pytest.approx(squared_mmd_by_loops(generated, reference, 1.5)) and given.bandwidth == 1.5


def test_one_distribution_gives_zero_on_average_and_two_do_not():
    same = [kernel_audio_distance(points(20, s), points(25, s + 1000)).value for s in range(300)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(300)  # unbiased: below 0 half the time
    assert min(same) < 0
    assert kernel_audio_distance(points(20, 0, 1.0), points(25, 1)).value > max(same)


def test_errors_name_what_is_wrong():
    good = points(5, 0)
    with pytest.raises(ClapgenError, match="1 generated embeddings: this metric needs at least 2"):
        kernel_audio_distance(good[:1], good)
    with pytest.raises(ClapgenError, match="generated embeddings have 3 dimensions, the others 6"):
        kernel_audio_distance(good[:, :3], good)
    with pytest.raises(ClapgenError, match="half of the reference pairs are copies"):
        kernel_audio_distance(good, np.repeat(good[:1], 5, axis=0))
    with pytest.raises(ClapgenError, match="it must be positive"):
        kernel_audio_distance(good, good, bandwidth=-1.0)
