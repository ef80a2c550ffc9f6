"""Neighbours in generation: what they change, how sidecars keep them, and what is refused."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from clapgen.audio import read_audio
from clapgen.errors import ClapgenError
from clapgen.testing import randomise, tiny_model
from generation.diffusion.model import DiffusionTransformer
from generation.diffusion.samplers import starting_at, timesteps
from generation.helped import help_of
from generation.pipeline import TextToAudio
from generation.recorded import request_from_sidecar
from generation.rendering import render
from generation.requests import GenerationRequest, checked_request
from generation.retrieval import Neighbour
from generation.sidecars import sha256_of

QUICK = {"seconds": 0.5, "num_steps": 3}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> TextToAudio:
    return TextToAudio.from_pretrained(tiny_model(tmp_path_factory.mktemp("neighbours") / "model"))


@pytest.fixture
def attending(model) -> TextToAudio:
    config = dataclasses.replace(model.network.config, context_layers=1)
    network = DiffusionTransformer(config).eval()
    randomise(network, torch.Generator().manual_seed(0))
    return TextToAudio(network, model.autoencoder, model.clap, dtype=torch.float32)


@pytest.fixture
def neighbours(recordings, tmp_path) -> list[Neighbour]:
    found = []
    for number, path in enumerate(recordings[:2]):
        copy = shutil.copy(path, tmp_path / path.name)
        found.append(Neighbour(str(copy), sha256_of(path), 0.5 - number / 10, path.stem if number else ""))
    return found


def waveform(model: TextToAudio, **settings) -> np.ndarray:
    return model.generate(["rain"], **QUICK, **settings)[0].waveform


def test_a_blend_of_one_asks_for_the_sound_of_the_neighbours_alone(model, neighbours):
    condition, _ = model.encode_prompts(["rain"])
    settings = {**vars(GenerationRequest("")), "neighbours": neighbours, "neighbour_blend": 1.0}
    sounds = [read_audio(each.path, model.sample_rate)[0][: model.sample_rate * 10] for each in neighbours]
    wanted = F.normalize(model.clap.embed_audio(sounds, model.sample_rate).mean(0), dim=0)
    assert torch.allclose(help_of(model, condition, settings).condition[0], wanted, atol=1e-5)
    settings["neighbour_blend"] = 0.25
    part = F.normalize(0.75 * condition[0] + 0.25 * wanted, dim=0)
    assert torch.allclose(help_of(model, condition, settings).condition[0], part, atol=1e-5)


def test_the_solver_starts_between_noise_and_a_neighbour_that_the_seed_chooses(model, neighbours):
    condition, _ = model.encode_prompts(["rain"])
    settings = {**vars(GenerationRequest("", **QUICK)), "neighbours": neighbours, "neighbour_strength": 0.25}
    helped = help_of(model, condition, settings)
    noise = model.initial_latents([4, 5], 0.5)
    started = helped.started(noise, [4, 5])
    for row, known in enumerate(helped.latents):
        assert torch.allclose(started[row], 0.75 * known + 0.25 * noise[row], atol=1e-6)
    sound = torch.from_numpy(read_audio(neighbours[0].path, model.sample_rate)[0])[None]
    with torch.no_grad():
        encoded = model.autoencoder.encode(sound)[0]
    frames = min(encoded.shape[1], helped.latents[0].shape[1])
    assert torch.allclose(helped.latents[0][:, :frames], encoded[:, :frames], atol=1e-5)
    assert starting_at(0.25, timesteps(4)) == [0.25, 0.0]
    assert starting_at(1.0, timesteps(4)) == timesteps(4)


def test_a_network_that_looks_at_neighbours_follows_them_by_their_scale(attending, neighbours):
    without = waveform(attending)
    shown = waveform(attending, neighbours=neighbours)
    assert not np.array_equal(shown, without)
    assert not np.array_equal(shown, waveform(attending, neighbours=neighbours[:1]))
    assert not np.array_equal(shown, waveform(attending, neighbours=neighbours, neighbour_scale=3.0))
    blended = waveform(attending, neighbours=neighbours, neighbour_scale=0.0, neighbour_blend=0.5)
    assert not np.array_equal(blended, shown)


def test_a_sound_is_made_again_from_its_sidecar(model, neighbours, tmp_path):
    request = checked_request({"prompt": "rain", **QUICK, "neighbours": neighbours, "neighbour_strength": 0.5})
    [first] = render([request], tmp_path / "first.wav", model)
    sidecar = json.loads((tmp_path / "first.json").read_text())
    assert [each["path"] for each in sidecar["neighbours"]] == [each.path for each in neighbours]
    again, _ = request_from_sidecar(tmp_path / "first.json", {})
    assert again.neighbours == tuple(neighbours)
    [second] = render([again], tmp_path / "second.wav", model)
    assert first.path.read_bytes() != b"" and second.sidecar["sha256"] == first.sidecar["sha256"]


def test_a_finished_sound_with_neighbours_is_recognised(model, neighbours, tmp_path):
    request = checked_request({"prompt": "rain", **QUICK, "neighbours": neighbours, "neighbour_blend": 0.5})
    [first] = render([request], tmp_path, model)
    [again] = render([request], tmp_path, model)
    assert again.generation is None and again.path == first.path


def test_a_part_of_a_longer_file_is_a_neighbour(model, neighbours):
    path = neighbours[0].path
    part = dataclasses.replace(neighbours[0], start=0.1, end=0.2)
    settings = {"neighbour_blend": 1.0}
    assert not np.array_equal(
        waveform(model, neighbours=[part], **settings), waveform(model, neighbours=neighbours[:1], **settings)
    )
    with pytest.raises(ClapgenError, match=f"{path} has nothing from 1000 s on"):
        waveform(model, neighbours=[dataclasses.replace(part, start=1000.0, end=1001.0)], **settings)


def test_a_neighbour_that_vanished_or_changed_is_named(model, neighbours, tmp_path):
    gone = dataclasses.replace(neighbours[0], path=str(tmp_path / "gone.wav"))
    with pytest.raises(ClapgenError, match=r"gone\.wav is gone"):
        waveform(model, neighbours=[gone], neighbour_blend=0.5)
    other = dataclasses.replace(neighbours[0], sha256="0" * 64)
    with pytest.raises(ClapgenError, match="has changed since"):
        waveform(model, neighbours=[other], neighbour_blend=0.5)


def test_a_model_without_attention_to_neighbours_says_what_works(model, neighbours):
    with pytest.raises(ClapgenError, match=r"was not trained with neighbours.*--neighbour-strength"):
        waveform(model, neighbours=neighbours)


WHOLE = {"path": "a.wav", "sha256": "", "cosine": 0.1}


@pytest.mark.parametrize(
    "value",
    [
        "rain.wav",
        [1],
        [{"path": "a.wav"}],
        [WHOLE | {"path": 1}],
        [WHOLE | {"cosine": "x"}],
        [WHOLE | {"colour": "red"}],
    ],
)
def test_neighbours_of_a_sidecar_are_checked(value):
    with pytest.raises(ClapgenError, match=r"neighbours.* must be a list of objects with path, sha256 and cosine"):
        checked_request({"prompt": "rain", "neighbours": value}, "s.json: ")
