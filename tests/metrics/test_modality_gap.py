"""The modality gap against loops over points, and what must hold for any pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings import base as embeddings
from clapgen.metrics.embeddings.modality_gap import modality_gap

quick = settings(max_examples=25, deadline=None, derandomize=True)


def pairs(count: int, seed: int, gap: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    audio = rng.normal(size=(count, 6))
    text = audio + 0.7 * rng.normal(size=audio.shape)
    text[:, 0] += gap
    return audio, text


def by_loops(audio: np.ndarray, text: np.ndarray) -> dict[str, float]:
    a, t = (table / np.linalg.norm(table, axis=1, keepdims=True) for table in (audio, text))
    points = np.concatenate([a, t])
    crossed = []
    for i in range(len(points)):
        nearest = max((j for j in range(len(points)) if j != i), key=lambda j: points[i] @ points[j])
        crossed.append((i < len(a)) != (nearest < len(a)))
    return {
        "centroid_distance": float(np.sqrt(np.square(a.mean(0) - t.mean(0)).sum())),
        "paired_cosine": float(np.mean([x @ y for x, y in zip(a, t, strict=True)])),
        "unpaired_cosine": float(np.mean([a[i] @ t[j] for i in range(len(a)) for j in range(len(a)) if i != j])),
        "crossing_rate": float(np.mean(crossed)),
        "audio_crossing_rate": float(np.mean(crossed[: len(a)])),
        "text_crossing_rate": float(np.mean(crossed[len(a) :])),
    }


@quick
@given(st.integers(2, 25), st.integers(0, 10_000), st.floats(0, 5))
def test_equals_loops_in_any_order_and_length(count: int, seed: int, gap: float):
    audio, text = pairs(count, seed, gap)
    expected = pytest.approx(by_loops(audio, text), abs=1e-9)
    order = np.random.default_rng(seed).permutation(count)
    assert vars(modality_gap(audio, text)) == expected
    assert vars(modality_gap(3 * audio[order], 0.01 * text[order])) == expected


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch):
    audio, text = pairs(23, 0)
    whole = modality_gap(audio, text)
    monkeypatch.setattr(embeddings, "BLOCK_VALUES", 50)
    assert modality_gap(audio, text) == whole


def test_the_sides_swap():
    audio, text = pairs(30, 1)
    one, two = modality_gap(audio, text), modality_gap(text, audio)
    assert one.audio_crossing_rate == two.text_crossing_rate and one.text_crossing_rate == two.audio_crossing_rate
    assert one.centroid_distance == pytest.approx(two.centroid_distance)


def test_clouds_apart_never_cross_and_close_pairs_always_do():
    rng = np.random.default_rng(2)
    audio = rng.normal(size=(40, 8))
    apart = modality_gap(np.c_[audio, np.full(40, 9.0)], np.c_[audio, np.full(40, -9.0)])
    assert apart.crossing_rate == 0 and apart.centroid_distance > 1
    close = modality_gap(audio, audio + 1e-6)
    assert close.crossing_rate == 1 and close.centroid_distance < 1e-5 and close.paired_cosine == pytest.approx(1)


def test_copies_count_as_half_a_crossing():
    same = np.ones((5, 3))
    assert modality_gap(same, same).crossing_rate == 0.5


def test_errors_name_what_is_wrong():
    audio, text = pairs(4, 0)
    with pytest.raises(ClapgenError, match="4 audio embeddings and 3 text embeddings"):
        modality_gap(audio, text[:3])
    with pytest.raises(ClapgenError, match="1 audio embeddings: this metric needs at least 2"):
        modality_gap(audio[:1], text[:1])
    with pytest.raises(ClapgenError, match="text embeddings contain NaN"):
        modality_gap(audio, text * np.nan)
