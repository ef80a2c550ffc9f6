"""Composition scores against the definition, their chance levels, and tests composed from clips."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.composition import (
    CHANCE,
    CompositionAccumulator,
    composition_scores,
    composition_similarity,
)
from clapgen.metrics.embeddings.composition_items import at_equal_loudness, order_items, overlap_items

quick = settings(max_examples=25, deadline=None, derandomize=True)
RATE = 8000
LABELS = ["dog", "rain", "door_bell", "dog", "rain", "cat"]


def by_definition(table: np.ndarray) -> dict[str, float]:
    text = [s[0][0] > s[0][1] and s[1][1] > s[1][0] for s in table.tolist()]
    audio = [s[0][0] > s[1][0] and s[1][1] > s[0][1] for s in table.tolist()]
    own = [s[0][0] > s[0][1] for s in table.tolist()] + [s[1][1] > s[1][0] for s in table.tolist()]
    both = [a and b for a, b in zip(text, audio, strict=True)]
    return {"text": np.mean(text), "audio": np.mean(audio), "group": np.mean(both), "accuracy": np.mean(own)}


@quick
@given(st.integers(1, 60), st.integers(0, 10_000), st.lists(st.integers(1, 59), max_size=3))
def test_scores_equal_the_definition_in_any_order_and_batches(count: int, seed: int, cuts: list[int]):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(count, 2, 2))
    whole = composition_scores(table)
    assert {name: getattr(whole, name) for name in CHANCE} == pytest.approx(by_definition(table))
    assert whole.n == count and (whole.intervals is None) == (count == 1)
    assert whole.correct.mean(0) == pytest.approx([whole.text, whole.audio, whole.group])
    parts = [CompositionAccumulator(), CompositionAccumulator()]
    for number, batch in enumerate(np.split(rng.permutation(table), sorted(cut for cut in cuts if cut < count))):
        parts[number % 2].update(batch)
    parts[0].merge(parts[1])
    merged = parts[0].compute()
    assert (merged.text, merged.audio, merged.group) == (whole.text, whole.audio, whole.group)
    assert merged.intervals == whole.intervals


def test_random_similarities_score_the_stated_chance():
    scores = composition_scores(np.random.default_rng(0).normal(size=(6_000, 2, 2)))
    for name, chance in CHANCE.items():
        assert getattr(scores, name) == pytest.approx(chance, abs=0.02)


def test_a_model_that_cannot_tell_sounds_apart_scores_zero():
    audio = np.ones((10, 4)) + 1e-8 * np.random.default_rng(0).normal(size=(10, 4))
    scores = composition_scores(composition_similarity(audio, np.random.default_rng(1).normal(size=(10, 4))))
    assert scores.audio == scores.text == scores.group == 0


def test_similarities_are_cosines_of_sound_and_caption():
    rng = np.random.default_rng(2)
    audio, text = rng.normal(size=(6, 4)), rng.normal(size=(6, 4))
    expected = audio[3] @ text[2] / np.linalg.norm(audio[3]) / np.linalg.norm(text[2])
    table = composition_similarity(audio, torch.tensor(text))
    assert table.shape == (3, 2, 2) and table[1, 1, 0] == pytest.approx(expected)
    perfect = composition_scores(composition_similarity(audio, 5 * audio))
    assert perfect.text == perfect.audio == perfect.group == perfect.accuracy == 1


def test_items_are_of_different_classes_and_the_same_for_a_seed():
    for make, classes in ((order_items, 2), (overlap_items, 3)):
        items = make(LABELS, 50, seed=3)
        assert items == make(LABELS, 50, seed=3) != make(LABELS, 50, seed=4)
        assert all(len(set(item.labels)) == len(item.clips) == classes for item in items)
        assert all(tuple(LABELS[i] for i in item.clips) == item.labels for item in items)
        assert {i for item in items for i in item.clips} == set(range(len(LABELS)))


def test_captions_describe_the_sounds():
    item = next(item for item in order_items(LABELS, 50) if item.labels == ("door_bell", "rain"))
    assert item.captions == ("This is a sound of door bell, then rain.", "This is a sound of rain, then door bell.")
    added = next(item for item in overlap_items(LABELS, 50, kind="added") if item.labels == ("cat", "dog"))
    assert added.captions == ("This is a sound of cat and dog at once.", "This is a sound of cat.")
    exchanged = overlap_items(LABELS, 1)[0]
    a, b, c = (label.replace("_", " ") for label in exchanged.labels)
    assert exchanged.captions == (
        f"This is a sound of {a} and {b} at once.",
        f"This is a sound of {c} and {b} at once.",
    )


def tone(frequency: float, level: float, seconds: float = 1.0, silence: float = 0.0) -> np.ndarray:
    sine = level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)
    return np.concatenate([sine, np.zeros(round(silence * RATE))]).astype(np.float32)


def power_at(waveform: np.ndarray, frequency: float) -> float:
    phase = np.exp(-2j * np.pi * frequency * np.arange(len(waveform)) / RATE)
    return float(np.abs(waveform @ phase / len(waveform)) ** 2)


def test_order_is_one_clip_and_then_the_other_at_equal_loudness():
    item = order_items(["low", "high"], 1)[0]
    frequency = {"low": 200.0, "high": 1000.0}
    clips = [tone(frequency["low"], 0.9), tone(frequency["high"], 0.01, silence=4.0)]
    clips = clips if item.labels == ("low", "high") else clips[::-1]
    one, two = item.waveforms(clips, RATE, seconds=2.0)
    assert len(one) == len(two) == 2 * RATE and np.abs(one).max() == pytest.approx(10 ** (-1 / 20), rel=1e-3)
    assert one[:RATE] == pytest.approx(two[RATE:]) and one[RATE:] == pytest.approx(two[:RATE])
    first, second = (frequency[label] for label in item.labels)
    assert power_at(one[:RATE], first) == pytest.approx(power_at(one[RATE:], second), rel=0.02)
    assert power_at(one[:RATE], second) < 1e-3 * power_at(one[:RATE], first)


@pytest.mark.parametrize("kind", ["added", "exchanged"])
def test_overlap_is_both_at_once_at_equal_loudness(kind: str):
    labels = ["200", "1000", "1500"]
    item = overlap_items(labels, 1, kind=kind, seed=1)[0]
    levels = [0.9, 0.01, 0.2]
    one, two = item.waveforms([tone(float(labels[i]), levels[i], silence=i) for i in item.clips], RATE)
    assert len(one) == len(two) and np.abs(one).max() == pytest.approx(np.abs(two).max())
    a, b, *c = (float(label) for label in item.labels)
    assert power_at(one, a) == pytest.approx(power_at(one, b), rel=0.02)
    heard = {frequency for frequency in (200.0, 1000.0, 1500.0) if power_at(two, frequency) > 1e-3}
    assert heard == ({a} if kind == "added" else {c[0], b})


def test_loudness_does_not_count_silence():
    short, padded = tone(440, 0.3), tone(440, 0.3, silence=9.0)
    assert at_equal_loudness(padded, RATE)[:RATE] == pytest.approx(at_equal_loudness(short, RATE))
    with pytest.raises(ClapgenError, match="clip 7 is silent"):
        at_equal_loudness(0 * short, RATE, "clip 7")


def test_errors_name_what_is_wrong():
    with pytest.raises(ClapgenError, match=r"\(items, 2, 2\), not of shape \(3, 2\)"):
        composition_scores(np.zeros((3, 2)))
    with pytest.raises(ClapgenError, match="1 of 3 items contain NaN or infinity; the first is item 0"):
        composition_scores(np.where(np.arange(3)[:, None, None] == 0, np.nan, np.zeros((3, 2, 2))))
    with pytest.raises(ClapgenError, match="at least 1 item"):
        CompositionAccumulator().compute()
    with pytest.raises(ClapgenError, match="3 sounds and 3 captions"):
        composition_similarity(np.eye(3), np.eye(3))
    with pytest.raises(ClapgenError, match="clips of 3 classes; there are 2"):
        overlap_items(["dog", "cat", "cat"], 1)
    with pytest.raises(ClapgenError, match=r"has no \{second\}"):
        order_items(["dog", "cat"], 1, template="{first}")
    with pytest.raises(ClapgenError, match="needs 2 clips, not 1"):
        order_items(["dog", "cat"], 1)[0].waveforms([tone(440, 0.1)], RATE)
