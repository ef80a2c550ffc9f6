"""`render`: sounds and sidecars from any generator, skipping those that are finished, printing nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from clapgen.errors import ClapgenError
from generation import Generation, GenerationRequest, Generator, render
from generation.destinations import choose_destination
from generation.rendering import split_finished


class Hum:
    """The smallest `Generator`: quiet noise of the right length, and the calls that it got."""

    sample_rate = 8000
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def describe(self):
        return {"dtype": "float32", "model": {"name": "hum", "hashes": {}}}

    def prompt_warnings(self, prompts):
        return {}

    def generate(self, prompts, seconds=10.0, seeds=None, **settings):
        self.calls.append(list(prompts))
        noise = [np.random.default_rng(seed).normal(0, 0.1, round(seconds * 8000)) for seed in seeds]
        return [
            Generation(waveform.astype(np.float32), 8000, prompt, seed, 0.5, [0.5])
            for waveform, prompt, seed in zip(noise, prompts, seeds, strict=True)
        ]


REQUESTS = [GenerationRequest(prompt, seconds=0.5, sampler="heun") for prompt in ("rain", "wind", "bells", "rain")]


def test_any_generator_is_rendered_once_and_silently(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hum = Hum()
    generator: Generator = hum
    clips = list(render(REQUESTS, tmp_path, generator, batch_size=2))
    assert hum.calls == [["rain", "wind"], ["bells"]]
    assert [clip.path.name for clip in clips] == ["rain_seed0.wav", "wind_seed0.wav", "bells_seed0.wav"]
    for clip in clips:
        assert clip.generation is not None
        assert json.loads(clip.path.with_suffix(".json").read_text()) == clip.sidecar
        assert clip.sidecar["model"] == {"name": "hum", "hashes": {}} and clip.sidecar["sampler"] == "heun"
    again = list(render(REQUESTS, tmp_path, generator))
    assert [(clip.path, clip.sidecar, clip.generation) for clip in again] == [(c.path, c.sidecar, None) for c in clips]
    assert len(hum.calls) == 2
    assert capsys.readouterr() == ("", "")


def test_finished_clips_are_known_without_a_generator(tmp_path: Path) -> None:
    list(render(REQUESTS[:1], tmp_path, Hum()))
    finished, remaining = split_finished(REQUESTS, choose_destination(tmp_path), Hum().describe())
    assert [clip.request for clip in finished] == REQUESTS[:1]
    assert remaining == REQUESTS[1:3]


def test_one_file_takes_one_sound(tmp_path: Path) -> None:
    [clip] = render(REQUESTS[:1], tmp_path / "rain.flac", Hum())
    assert clip.path == tmp_path / "rain.flac"
    with pytest.raises(ClapgenError, match="already exists"):
        list(render(REQUESTS[:1], tmp_path / "rain.flac", Hum()))
    with pytest.raises(ClapgenError, match="single file"):
        list(render(REQUESTS, tmp_path / "all.wav", Hum()))
