"""Mixes of texts and sounds as the condition: weights, files, sidecars, and what is refused."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from clapgen.audio import read_audio
from clapgen.errors import ClapgenError
from clapgen.testing import tiny_model
from generation.ingredients import Ingredient, ingredient_of
from generation.pipeline import TextToAudio
from generation.recorded import request_from_sidecar
from generation.rendering import render
from generation.requests import checked_request

QUICK = {"seconds": 0.5, "num_steps": 2}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> TextToAudio:
    return TextToAudio.from_pretrained(tiny_model(tmp_path_factory.mktemp("mixes") / "model"))


def test_a_mix_is_the_weighted_sum_of_embeddings(model, recordings):
    sound = ingredient_of(f"{recordings[0]}:0.3", "--mix")
    text = ingredient_of("rain: on a roof:0.7", "--mix")
    assert (text.text, text.weight, sound.weight) == ("rain: on a roof", 0.7, 0.3)
    audio, rate = read_audio(recordings[0], model.clap.sample_rate)
    wanted = 0.3 * model.clap.embed_audio([audio], rate) + 0.7 * model.clap.embed_text(["rain: on a roof"])
    assert torch.allclose(model.blend([sound, text]), F.normalize(wanted, dim=1), atol=1e-6)


def test_one_text_is_the_same_as_a_prompt(model):
    [prompt] = model.generate(["rain"], **QUICK)
    [mix] = model.generate(["rain"], mix=[Ingredient(2.0, text="rain")], **QUICK)
    assert np.allclose(mix.waveform, prompt.waveform, atol=1e-4)


def test_staying_away_from_a_text_is_a_negative_prompt(model, recordings):
    [negative] = model.generate(["rain"], negative_prompt="wind", **QUICK)
    [without] = model.generate(["rain"], without=[Ingredient(text="wind")], **QUICK)
    [from_sound] = model.generate(["rain"], without=[ingredient_of(str(recordings[0]), "--without")], **QUICK)
    assert np.allclose(without.waveform, negative.waveform, atol=1e-4)
    assert not np.allclose(from_sound.waveform, negative.waveform, atol=1e-4)


def test_a_mix_is_made_again_from_its_sidecar(model, recordings, tmp_path):
    mix = [ingredient_of(f"{recordings[0]}:0.5", "--mix"), ingredient_of("rain", "--mix")]
    [first] = render([checked_request({"prompt": "both", **QUICK, "mix": mix})], tmp_path / "first.wav", model)
    again, _ = request_from_sidecar(tmp_path / "first.json", {})
    assert again.mix == tuple(mix)
    [second] = render([again], tmp_path / "second.wav", model)
    assert second.sidecar["sha256"] == first.sidecar["sha256"]


def test_a_sound_of_a_mix_that_vanished_is_named(model, recordings):
    gone = Ingredient(path=str(recordings[0]) + ".gone", sha256="0")
    with pytest.raises(ClapgenError, match=r"\.gone is gone"):
        model.generate(["both"], mix=[gone], **QUICK)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("rain:0", "a weight must be above 0"),
        ("rain:-1", "a weight must be above 0"),
        ("rain:nan", "a weight must be above 0"),
        (":1", "--mix is empty"),
        ("none.wav:0.5", r"none\.wav is not a file"),
    ],
)
def test_bad_ingredients_are_named(given, message):
    with pytest.raises(ClapgenError, match=message):
        ingredient_of(given, "--mix")


@pytest.mark.parametrize(
    "value", ["rain", [{"weight": 1}], [{"text": "a", "path": "b"}], [{"text": 1}], [{"colour": 1}]]
)
def test_ingredients_of_a_sidecar_are_checked(value):
    with pytest.raises(ClapgenError, match="must be a list of objects with a weight"):
        checked_request({"prompt": "x", "mix": value}, "s.json: ")
