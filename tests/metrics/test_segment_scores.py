"""Late interaction over segments: the formula, the cosine of one segment, and the short event that a mean hides."""

import numpy as np
import pytest

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.retrieval import retrieval, retrieval_by_scores
from clapgen.metrics.embeddings.segments import segment_scores

RNG = np.random.default_rng(0)


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def one_by_one(segments: list[np.ndarray], text: np.ndarray, temperature: float, mean_weight: float) -> np.ndarray:
    scores = np.zeros((len(text), len(segments)))
    for j, sound in enumerate(segments):
        for i, sentence in enumerate(unit(text)):
            cosines = [float(unit(segment) @ sentence) for segment in sound]
            weights = np.exp(temperature * np.array(cosines))
            attended = sum(w * c for w, c in zip(weights, cosines, strict=True)) / weights.sum()
            whole = float(unit(unit(sound).mean(0)) @ sentence)
            scores[i, j] = (attended + mean_weight * whole) / (1 + mean_weight)
    return scores


@pytest.mark.parametrize(("temperature", "mean_weight"), [(10.0, 1.0), (0.0, 0.0), (3.0, 0.5)])
def test_equals_the_formula(temperature: float, mean_weight: float) -> None:
    segments = [RNG.standard_normal((count, 8)) for count in (1, 4, 2, 7)]
    text = RNG.standard_normal((5, 8))
    found = segment_scores(segments, text, temperature, mean_weight)
    np.testing.assert_allclose(found, one_by_one(segments, text, temperature, mean_weight), atol=1e-12)


def test_a_sound_of_one_segment_has_its_cosine_and_order_does_not_matter() -> None:
    sounds, text = RNG.standard_normal((6, 8)), RNG.standard_normal((4, 8))
    np.testing.assert_allclose(
        segment_scores([sound[None] for sound in sounds], text), unit(text) @ unit(sounds).T, atol=1e-12
    )
    long = RNG.standard_normal((9, 8))
    np.testing.assert_allclose(segment_scores([long], text), segment_scores([long[::-1]], text), atol=1e-12)


def test_a_short_event_is_found_where_the_mean_hides_it() -> None:
    shared = unit(RNG.standard_normal((8, 64)))  # of ten segments, all sounds share eight
    own = unit(RNG.standard_normal((100, 2, 64)))
    segments = [np.concatenate([unit(shared + 0.05 * RNG.standard_normal(shared.shape)), pair]) for pair in own]
    text = unit(own[:, 0] + 0.2 * RNG.standard_normal((100, 64)))
    by_segments = retrieval_by_scores(segment_scores(segments, text), np.arange(100)).text_to_audio.recalls[1]
    means = np.stack([sound.mean(0) for sound in segments])
    by_mean = retrieval(means, text, np.arange(100)).text_to_audio.recalls[1]
    assert by_segments > by_mean + 0.1
    assert by_segments > 0.9


def test_retrieval_by_cosines_is_retrieval() -> None:
    audio, text, owners = RNG.standard_normal((6, 8)), RNG.standard_normal((9, 8)), np.arange(9) % 5
    for captions in (None, [f"caption {index % 4}" for index in range(9)]):
        usual = retrieval(audio, text, owners, captions=captions)
        found = retrieval_by_scores(unit(text) @ unit(audio).T, owners, captions=captions)
        assert found.as_dict() == usual.as_dict()
        np.testing.assert_array_equal(found.query_clips, usual.query_clips)


def test_bad_input_is_one_clear_line() -> None:
    text = RNG.standard_normal((2, 8))
    for segments, message in (
        ([np.zeros((0, 8))], "segments of sound 0"),
        ([np.ones((2, 4))], "4 dimensions"),
        ([np.full((2, 8), np.nan)], "NaN"),
        ([np.array([[1.0] * 8, [-1.0] * 8])], "all zeros"),
    ):
        with pytest.raises(ClapgenError, match=message):
            segment_scores(segments, text)
    with pytest.raises(ClapgenError, match="0 or more"):
        segment_scores([text], text, temperature=-1)
    with pytest.raises(ClapgenError, match="without NaN"):
        retrieval_by_scores([[np.nan]], [0])
    assert segment_scores([], text).shape == (2, 0)
