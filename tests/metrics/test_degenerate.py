"""Silent, constant, noisy, identical and copied outputs are detected; real recordings are not flagged."""

import numpy as np
import pytest

from clapgen.audio import read_audio, resample
from clapgen.metrics.embeddings import base as embeddings
from clapgen.metrics.embeddings.degenerate import (
    degenerate_embeddings,
    degenerate_waveforms,
    spectral_flatness,
    waveform_defect,
)

RATE = 16000


def noise(seed: int = 0, level: float = 0.1, samples: int = RATE) -> np.ndarray:
    return level * np.random.default_rng(seed).normal(size=samples)


def test_silence_is_below_sixty_decibels():
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert waveform_defect(np.zeros(RATE)) == waveform_defect(np.zeros(0)) == waveform_defect(0.9e-3 * tone) == "silent"
    assert waveform_defect(1.1e-3 * tone) is None


def test_an_offset_is_a_constant():
    assert waveform_defect(np.full(RATE, 0.5)) == "constant"
    assert waveform_defect(0.5 + noise(level=1e-5)) == "constant"
    assert waveform_defect(0.5 + 0.1 * np.sin(np.arange(RATE) / 7)) is None


@pytest.mark.parametrize("level", [0.01, 0.3])
def test_steady_white_noise_is_detected_at_any_level(level: float):
    assert waveform_defect(noise(level=level)) == "noise"
    uniform = level * np.random.default_rng(1).uniform(-1, 1, RATE)
    assert waveform_defect(0.2 + uniform) == "noise"
    assert waveform_defect(resample(uniform.astype(np.float32), RATE, 22050)) == "noise"


def test_flat_spectra_that_are_not_noise_are_not_flagged():
    click = np.zeros(RATE)
    click[4000] = 1.0
    assert waveform_defect(click) is None  # flat, but over at once
    assert waveform_defect(noise() * np.exp(-np.arange(RATE) / 2000)) is None  # a clap
    assert waveform_defect(np.cumsum(noise(level=1e-3))) is None  # brown: wind, surf
    assert waveform_defect(noise(samples=4000)) is None  # too short to tell


def test_flatness_is_one_for_noise_and_none_for_a_tone():
    assert spectral_flatness(noise(samples=20 * RATE)) == pytest.approx(1, abs=0.01)
    assert spectral_flatness(np.sin(2 * np.pi * 0.1 * np.arange(RATE))) < 1e-3
    assert spectral_flatness(np.zeros(10)) == 0


def test_real_recordings_have_no_defect(recordings):
    assert {waveform_defect(read_audio(path)[0]) for path in recordings} == {None}


def test_each_defect_gets_one_sentence():
    groups = degenerate_waveforms(["silent", None, "noise", "silent"])
    assert [(group.name, group.items, group.count) for group in groups] == [("silent", (0, 3), 4), ("noise", (2,), 4)]
    assert groups[0].sentence.startswith("2 of 4 generated sounds are silent (peak below -60 dBFS)")
    assert groups[1].sentence.startswith("1 of 4 generated sounds is steady white noise")
    assert degenerate_waveforms([None, None]) == []


def test_identical_outputs_are_detected(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    one = rng.normal(size=16)
    (group,) = degenerate_embeddings(one + 1e-3 * rng.normal(size=(9, 16)))
    assert group.name == "identical" and group.items == tuple(range(9)) and "no variety" in group.sentence
    mixed = rng.normal(size=(9, 16))
    mixed[2:8] = 3 * one
    monkeypatch.setattr(embeddings, "BLOCK_VALUES", 20)
    (group,) = degenerate_embeddings(mixed)
    assert group.items == (2, 3, 4, 5, 6, 7)


def test_a_few_near_duplicates_are_normal():
    rng = np.random.default_rng(2)
    points = rng.normal(size=(9, 16))
    assert (
        degenerate_embeddings(np.repeat(points, 2, axis=0))
        == degenerate_embeddings(points)
        == degenerate_embeddings(points[:1])
        == []
    )


def test_copies_of_references_are_detected():
    rng = np.random.default_rng(1)
    reference, made = rng.normal(size=(30, 16)), rng.normal(size=(10, 16))
    assert degenerate_embeddings(made, reference) == []
    made[4] = reference[11] + 0.01 * rng.normal(size=16)
    (group,) = degenerate_embeddings(made, reference)
    assert group.name == "copied" and group.items == (4,)
    (every,) = degenerate_embeddings(reference, reference)
    assert every.items == tuple(range(30)) and every.sentence.startswith(
        "30 of 30 generated sounds are nearly identical to a reference"
    )


def test_noise_that_is_slightly_coloured_is_no_defect():
    white = noise(samples=20 * RATE)
    coloured = white[1:] + 0.7 * white[:-1]
    assert 0.85 < spectral_flatness(coloured) < 0.94
    assert waveform_defect(coloured) is None


def test_sounds_count_as_copies_from_a_cosine_of_98_hundredths():
    cosines = np.array([0.5, 0.92, 0.975, 0.985])
    made = np.hstack([cosines[:, None], np.diag(np.sqrt(1 - cosines**2))])
    groups = {group.name: group.items for group in degenerate_embeddings(made, np.eye(5)[:1])}
    assert groups["copied"] == (3,)
