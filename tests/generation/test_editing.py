"""Edits: what is kept is kept sample for sample, what is made is where it should be, and what does not fit is named."""

import dataclasses

import numpy as np
import pytest
import soundfile
import torch

from clapgen.errors import ClapgenError
from clapgen.testing import tiny_model
from generation.editing import CROSSFADE, crossed_over, start_editing
from generation.edits import Edit, checked_edit, region_of
from generation.pipeline import TextToAudio
from generation.recorded import request_from_sidecar
from generation.rendering import render
from generation.requests import checked_request
from generation.sidecars import sha256_of

RATE = 8000
QUICK = {"num_steps": 3, "level": "as-is"}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> TextToAudio:
    return TextToAudio.from_pretrained(tiny_model(tmp_path_factory.mktemp("editing") / "model"))


@pytest.fixture
def sound(tmp_path):
    """Three seconds of noise that swells and fades, and where they are."""
    waveform = 0.1 * np.random.default_rng(0).standard_normal(3 * RATE) * np.hanning(3 * RATE)
    soundfile.write(tmp_path / "sound.wav", waveform, RATE, subtype="FLOAT")
    return tmp_path / "sound.wav", waveform.astype(np.float32)


def edit_of(path, kind: str, **settings) -> Edit:
    return checked_edit({"path": str(path), "sha256": sha256_of(path), "kind": kind, **settings}, "edit")


def made(model: TextToAudio, edit: Edit, **settings) -> np.ndarray:
    return model.generate(["rain"], edit=edit, **{**QUICK, **settings})[0].waveform


def test_filling_a_region_keeps_the_rest_sample_for_sample(model, sound):
    path, original = sound
    edited = made(model, edit_of(path, "fill", regions=[[1.0, 1.5], [2.0, 2.25]]))
    assert edited.shape == original.shape
    kept = np.ones(len(original), dtype=bool)
    kept[RATE : 3 * RATE // 2] = kept[2 * RATE : 9 * RATE // 4] = False
    assert np.array_equal(edited[kept], original[kept])
    assert not np.allclose(
        edited[RATE + 200 : 3 * RATE // 2 - 200], original[RATE + 200 : 3 * RATE // 2 - 200], atol=1e-3
    )


def test_no_seam_jumps_further_than_the_crossfade_allows(model, sound):
    edit = edit_of(sound[0], "fill", regions=[[1.0, 1.5]])
    editing = start_editing(model, edit)
    steps = np.abs(np.diff(editing.made))
    assert steps.max() <= 1.01 / (CROSSFADE * RATE)  # from one to the other over the whole crossfade
    start = RATE - editing.start
    assert editing.made[start - 1] == 0 and editing.made[start + RATE // 4] == 1


def test_a_region_of_a_long_sound_is_filled_with_some_context_alone(model, tmp_path):
    waveform = 0.1 * np.random.default_rng(1).standard_normal(60 * RATE).astype(np.float32)
    soundfile.write(tmp_path / "long.wav", waveform, RATE, subtype="FLOAT")
    edit = edit_of(tmp_path / "long.wav", "fill", regions=[[30.0, 31.0]])
    assert edit.span(60.0) == (26.0, 35.0)
    edited = made(model, edit)
    assert len(edited) == len(waveform)
    assert np.array_equal(edited[: 30 * RATE], waveform[: 30 * RATE])
    assert np.array_equal(edited[31 * RATE :], waveform[31 * RATE :])


@pytest.mark.parametrize("side", ["before", "after"])
def test_extending_keeps_the_sound_but_for_the_crossfade(model, sound, side):
    path, original = sound
    edited = made(model, edit_of(path, "extend", **{side: 1.5}))
    assert len(edited) == len(original) + 3 * RATE // 2
    fade = round(CROSSFADE * RATE)
    if side == "after":
        assert np.array_equal(edited[: len(original) - fade], original[:-fade])
        assert np.abs(edited[len(original) + fade :]).max() > 0
    else:
        assert np.array_equal(edited[3 * RATE // 2 + fade :], original[fade:])


def test_extending_a_long_sound_uses_its_end(model, tmp_path):
    waveform = 0.1 * np.random.default_rng(1).standard_normal(50 * RATE).astype(np.float32)
    soundfile.write(tmp_path / "long.wav", waveform, RATE, subtype="FLOAT")
    edit = edit_of(tmp_path / "long.wav", "extend", after=2.0)
    assert edit.span(50.0) == (42.0, 50.0)
    edited = made(model, edit)
    assert len(edited) == 52 * RATE and np.array_equal(edited[: 49 * RATE], waveform[: 49 * RATE])
    with pytest.raises(ClapgenError, match="extend it on one side"):
        made(model, edit_of(tmp_path / "long.wav", "extend", after=2.0, before=2.0))


def test_a_loop_continues_from_its_end_to_its_start(model, sound):
    path, original = sound
    edited = made(model, edit_of(path, "loop", joint=0.5))
    assert len(edited) == len(original)
    quarter = RATE // 4
    assert np.array_equal(edited[quarter + 1 : -quarter - 1], original[quarter + 1 : -quarter - 1])
    editing = start_editing(model, edit_of(path, "loop", joint=0.5))
    joint = len(original) - len(original) // 2  # where end and start meet in the part that is worked on
    assert editing.made[joint - 100 : joint + 100].min() == 1
    assert np.array_equal(editing.part[:joint], original[len(original) // 2 :])


def test_upsampling_keeps_what_lies_below(model, sound):
    path, original = sound
    edited = made(model, edit_of(path, "upsample", above=1000.0, strength=0.8))
    spectra = [np.fft.rfft(each.astype(np.float64)) for each in (edited, original)]
    bins = np.fft.rfftfreq(len(original), 1 / RATE)
    below, above = bins < 1000, bins > 1100
    assert np.allclose(spectra[0][below], spectra[1][below], atol=1e-3)
    assert not np.allclose(spectra[0][above], spectra[1][above], atol=1e-1)


def test_a_crossover_of_two_sounds_is_the_first_below_and_the_second_above():
    time = np.arange(RATE) / RATE
    low, high = np.sin(2 * np.pi * 500 * time), np.sin(2 * np.pi * 2000 * time)
    silence = np.zeros(RATE, np.float32)
    assert np.allclose(crossed_over((low + high).astype(np.float32), silence, RATE, 1000), low, atol=1e-4)
    # twice as loud below 1 kHz, so that it is halved
    other = (2 * low + high).astype(np.float32)
    assert np.allclose(crossed_over(low.astype(np.float32), other, RATE, 1000), low + high / 2, atol=1e-4)


def test_restyling_starts_from_the_latents_under_noise(model, sound):
    path, original = sound
    editing = start_editing(model, edit_of(path, "restyle", strength=0.3))
    noise = model.initial_latents([0], editing.seconds)
    assert torch.allclose(editing.started(noise), 0.7 * editing.known + 0.3 * noise, atol=1e-5)
    nothing = made(model, edit_of(path, "restyle", strength=0.0))
    assert not np.array_equal(nothing, made(model, edit_of(path, "restyle", strength=0.9)))
    assert len(nothing) == len(original)


def test_the_sound_itself_can_be_the_condition(model, sound):
    path, original = sound
    edit = edit_of(path, "restyle", strength=0.9, like=True)
    assert torch.allclose(start_editing(model, edit).condition, model.clap.embed_audio([original], RATE), atol=1e-5)
    by_prompt = made(model, dataclasses.replace(edit, like=False))
    assert not np.array_equal(made(model, edit), by_prompt)


def test_an_edit_is_made_again_from_its_sidecar(model, sound, tmp_path):
    edit = edit_of(sound[0], "fill", regions=[[1.0, 1.5]])
    request = checked_request({"prompt": "rain", **QUICK, "edit": edit})
    [first] = render([request], tmp_path / "first.wav", model)
    again, _ = request_from_sidecar(tmp_path / "first.json", {})
    assert again.edit == edit
    [second] = render([again], tmp_path / "second.wav", model)
    assert second.sidecar["sha256"] == first.sidecar["sha256"]
    [found] = render([request], tmp_path / "folder", model)
    [finished] = render([request], tmp_path / "folder", model)
    assert finished.generation is None and finished.path == found.path


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("fill", {}, "at least one region"),
        ("fill", {"regions": [[2.0, 4.0]]}, "ends after the sound, which lasts 3.00 s"),
        ("fill", {"regions": [[1.0, 2.0], [1.5, 2.5]]}, "two regions overlap at 1.5 s"),
        ("fill", {"regions": [[1.0, 1.0]]}, "must start at 0 or later and last 40 ms"),
        ("fill", {"regions": [[-1.0, 1.0]]}, "must start at 0 or later"),
        ("fill", {"regions": "1:2"}, "must be a list of pairs"),
        ("extend", {}, "give the seconds to add"),
        ("extend", {"after": 100.0}, "at most 26 s"),
        ("loop", {"joint": 2.0}, "at most half of the sound"),
        ("upsample", {"above": 50.0}, "100 Hz at the lowest"),
        ("upsample", {"above": 5000.0}, "up to 4000 Hz"),
        ("restyle", {"strength": 1.5}, "strength must be 0 to 1"),
        ("restyle", {"strength": "much"}, "must be a number"),
        ("reverse", {}, "kind must be one of"),
    ],
)
def test_what_does_not_fit_is_named(model, sound, kind, settings, message):
    with pytest.raises(ClapgenError, match=message):
        made(model, edit_of(sound[0], kind, **settings))


def test_silence_and_what_is_too_short_or_too_long_are_refused(model, tmp_path):
    for name, samples, message in (
        ("silent", np.zeros(RATE), "nothing to edit"),
        ("short", np.ones(10), "an edit needs 40 ms"),
        ("long", 0.1 * np.random.default_rng(0).standard_normal(31 * RATE), "works on at most 30 s"),
    ):
        soundfile.write(tmp_path / f"{name}.wav", samples, RATE)
        with pytest.raises(ClapgenError, match=message):
            made(model, edit_of(tmp_path / f"{name}.wav", "restyle"))


def test_a_file_that_changed_is_refused(model, sound):
    edit = edit_of(sound[0], "restyle")
    sound[0].write_bytes(sound[0].read_bytes()[:-8])
    with pytest.raises(ClapgenError, match="has changed since"):
        made(model, edit)
    sound[0].unlink()
    with pytest.raises(ClapgenError, match="is gone"):
        made(model, edit)


def test_regions_of_the_command_line_are_start_and_end():
    assert region_of("2:3.5") == (2.0, 3.5)
    for wrong in ("2-3", "a:b", ""):
        with pytest.raises(ClapgenError, match="a region is START:END"):
            region_of(wrong)
