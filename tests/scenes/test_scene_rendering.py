"""Rendered scenes: what is measured in the stems is what the scene says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from clapgen.errors import ClapgenError
from clapgen.scenes import Event, Scene, SceneClip, SceneSampler
from clapgen.scenes.clips import sounding
from clapgen.scenes.kinds import KINDS
from clapgen.scenes.loudness import a_weighted_level, a_weighting
from clapgen.scenes.rendering import render

RATE = 16000


def tone(hertz: float, seconds: float, amplitude: float = 0.3) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def noise(seconds: float, seed: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


WAVEFORMS = [tone(440, 6), noise(0.4, 0), tone(3000, 0.8, 0.01), noise(8, 1), tone(150, 2), noise(0.7, 2) * 3]
CLIPS = [
    SceneClip((name,), (), len(waveform) / RATE)
    for name, waveform in zip(["hum", "click", "beep", "rain", "engine", "splash"], WAVEFORMS, strict=True)
]


def scene(*events: Event, duration: float = 5.0) -> Scene:
    return Scene(duration, events, "overlap", ("a caption",))


def test_a_weighting_has_its_known_gains():
    """Table 3 of IEC 61672-1."""
    hertz = np.array([31.623, 100, 1000, 2000, 10000])
    assert 20 * np.log10(a_weighting(hertz)) == pytest.approx([-39.4, -19.1, 0, 1.2, -2.5], abs=0.1)


def test_the_level_of_a_tone_is_known_and_silence_does_not_count():
    assert a_weighted_level(tone(1000, 1.0, 1.0), RATE) == pytest.approx(-3.0, abs=0.05)
    with_pause = np.concatenate([tone(1000, 1.0, 1.0), np.zeros(3 * RATE, np.float32)])
    assert a_weighted_level(with_pause, RATE) == pytest.approx(-3.0, abs=0.1)
    assert a_weighted_level(np.zeros(100, np.float32), RATE) == -np.inf


@pytest.mark.parametrize("kind", KINDS)
def test_onset_gain_and_count_of_the_stems_equal_the_metadata(kind: str):
    sampler = SceneSampler(CLIPS)
    for seed in range(8):
        drawn = sampler.draw(torch.Generator().manual_seed(seed), kind=kind)
        for each in (drawn, *drawn.twins):
            rendered = render(each, WAVEFORMS, RATE)
            assert len(rendered.waveform) == len(rendered.stems[0]) == round(each.duration * RATE)
            levels = [
                a_weighted_level(stem, RATE) - event.gain_db
                for stem, event in zip(rendered.stems, each.events, strict=True)
            ]
            assert max(levels) - min(levels) < 0.5
            for stem, event in zip(rendered.stems, each.events, strict=True):
                sounds = np.flatnonzero(np.abs(stem) > 1e-4 * np.abs(stem).max())
                assert sounds[0] / RATE == pytest.approx(event.start, abs=0.012)
                if not event.distance:
                    assert sounds[-1] / RATE == pytest.approx(event.end, abs=0.012)
            if each.relation == "repeated":
                assert sounding(rendered.waveform, RATE)["sounds"] == len(each.events)


def test_stems_add_up_to_the_scene_whose_peak_is_minus_one_decibel():
    rendered = render(scene(Event(0, "hum", 0, 5), Event(1, "click", 2, 0.4, gain_db=-15)), WAVEFORMS, RATE)
    np.testing.assert_allclose(rendered.stems.sum(0), rendered.waveform, atol=1e-6)
    assert 20 * np.log10(np.abs(rendered.waveform).max()) == pytest.approx(-1.0, abs=1e-3)


def test_an_event_is_the_piece_of_its_clip_that_it_says():
    rising = np.concatenate([tone(300, 1), tone(2000, 1)])
    rendered = render(scene(Event(0, "x", 0.5, 0.8, clip_start=1.1), duration=2), [rising], RATE)
    spectrum = np.abs(np.fft.rfft(rendered.waveform))
    assert np.fft.rfftfreq(len(rendered.waveform), 1 / RATE)[spectrum.argmax()] == pytest.approx(2000, abs=2)


def test_distance_adds_a_tail_and_takes_high_frequencies():
    def rendered(distance: float, seed: int = 0) -> np.ndarray:
        return render(scene(Event(1, "click", 0, 0.4, distance=distance), duration=1.2), WAVEFORMS, RATE, seed).waveform

    def share_above(waveform: np.ndarray, hertz: float) -> float:
        power = np.square(np.abs(np.fft.rfft(waveform)))
        return float(power[np.fft.rfftfreq(len(waveform), 1 / RATE) > hertz].sum() / power.sum())

    tails = [np.abs(rendered(distance)[round(0.45 * RATE) :]).max() for distance in (0.0, 0.5, 1.0)]
    assert tails[0] == 0 < tails[1] < tails[2]
    highs = [share_above(rendered(distance), 4000) for distance in (0.0, 0.5, 1.0)]
    assert highs[0] > highs[1] > highs[2]
    np.testing.assert_array_equal(rendered(0.7), rendered(0.7))
    assert not np.array_equal(rendered(0.7), rendered(0.7, seed=1))


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Event(1, "click", 4.8, 0.4), "'click' ends at 5.20 s, after the scene, which lasts 5.00 s"),
        (Event(1, "click", 0, 0.4, clip_start=0.2), "needs 0.60 s of clip 1, which lasts 0.40 s"),
        (Event(6, "nothing", 1, 0.5), "'nothing' at 1.00 s is silent"),
    ],
)
def test_events_that_cannot_be_rendered_are_one_clear_line(event: Event, message: str):
    with pytest.raises(ClapgenError, match=message) as raised:
        render(scene(event), [*WAVEFORMS, np.zeros(RATE, np.float32)], RATE)
    assert "\n" not in str(raised.value)


def test_pieces_contain_the_loudest_moment_of_their_clip():
    waveform = np.concatenate([np.zeros(RATE, np.float32), 0.05 * noise(6, 3), tone(500, 0.2), 0.05 * noise(2, 4)])
    facts = sounding(waveform, RATE)
    assert facts["start"] == pytest.approx(1.0, abs=0.03) and facts["loudest"] == pytest.approx(7.1, abs=0.11)
    sampler = SceneSampler([replace(CLIPS[0], **facts), *CLIPS[1:]])
    for seed in range(30):
        drawn = sampler.draw(torch.Generator().manual_seed(seed), first=0)
        for event in drawn.events:
            if event.clip == 0:
                assert event.clip_start < facts["loudest"] < event.clip_start + event.duration


def test_sounds_with_pauses_between_them_are_counted():
    click, pause = tone(800, 0.1), np.zeros(round(0.3 * RATE), np.float32)
    assert sounding(np.concatenate([click, pause, click, pause, click]), RATE)["sounds"] == 3
    assert sounding(tone(800, 1.0), RATE)["sounds"] == 1
    assert sounding(np.zeros(RATE, np.float32), RATE)["seconds"] == 0
