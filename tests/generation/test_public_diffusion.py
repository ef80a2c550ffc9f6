"""AudioLDM 2, MusicLDM and Stable Audio Open from their published layouts, as diffusers' pipelines compute them."""

import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import tiny_public
import torch

from clapgen.errors import ClapgenError
from generation.public import load_generator
from generation.public.cosine_solver import CosineSolver

PROMPT = "rain on a roof"


@pytest.fixture(scope="module")
def audioldm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_public.audioldm2(tmp_path_factory.mktemp("audioldm2"))


@pytest.fixture(scope="module")
def musicldm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_public.musicldm(tmp_path_factory.mktemp("musicldm"))


@pytest.fixture(scope="module")
def stable_audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_public.stable_audio(tmp_path_factory.mktemp("stable-audio"))


@pytest.mark.parametrize("negative", ["", "wind on the roof roof roof roof roof"])
def test_audioldm2_equals_the_pipeline_of_diffusers(audioldm2: Path, negative: str) -> None:
    from diffusers import AudioLDM2Pipeline

    generator, peer = load_generator(audioldm2), AudioLDM2Pipeline.from_pretrained(audioldm2)
    theirs = peer(
        PROMPT, audio_length_in_s=0.64, num_inference_steps=3, guidance_scale=3.5, negative_prompt=negative or None,
        latents=generator.initial_latents([5], 0.64),
    ).audios[0]  # fmt: skip
    settings = {"seconds": 0.64, "num_steps": 3, "guidance_scale": 3.5}
    ours = generator.sample(generator.encode(PROMPT, negative), [5], settings, None)[0]
    assert theirs.std() > 0.01
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_audioldm2_also_loads_the_gpt2_without_a_head_that_breaks_the_pipeline(audioldm2: Path, tmp_path: Path) -> None:
    import shutil

    from transformers import GPT2LMHeadModel

    copy = Path(shutil.copytree(audioldm2, tmp_path / "copy"))
    with_head = load_generator(copy).encode(PROMPT, "wind")[0]
    GPT2LMHeadModel.from_pretrained(copy / "language_model").transformer.save_pretrained(copy / "language_model")
    without = load_generator(copy).encode(PROMPT, "wind")[0]
    assert with_head.generated.shape == (1, 8, 20)
    torch.testing.assert_close(with_head.generated, without.generated)
    assert (with_head.generated - load_generator(copy).encode("a dog", "")[0].generated).abs().max() > 1e-3


def test_audioldm2_for_speech_is_refused(audioldm2: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(audioldm2, tmp_path / "copy"))
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps({**index, "text_encoder_2": ["transformers", "VitsModel"]}))
    with pytest.raises(ClapgenError, match="makes speech from a transcript"):
        load_generator(copy)


def test_musicldm_equals_the_pipeline_of_diffusers(musicldm: Path) -> None:
    from diffusers import MusicLDMPipeline

    generator, peer = load_generator(musicldm), MusicLDMPipeline.from_pretrained(musicldm)
    features = (
        peer.text_encoder.get_text_features
    )  # which the pipeline expects to be a tensor, as before transformers 5
    peer.text_encoder.get_text_features = lambda *inputs, **named: features(*inputs, **named).pooler_output
    theirs = peer(
        PROMPT, audio_length_in_s=0.64, num_inference_steps=3, guidance_scale=2.0,
        latents=generator.initial_latents([5], 0.64),
    ).audios[0]  # fmt: skip
    settings = {"seconds": 0.64, "num_steps": 3, "guidance_scale": 2.0}
    ours = generator.sample(generator.encode(PROMPT, ""), [5], settings, None)[0]
    assert theirs.std() > 0.01
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("name", ["audioldm2", "musicldm"])
def test_the_clap_of_the_checkpoint_ranks_each_prompts_own_candidates(
    name: str, request: pytest.FixtureRequest
) -> None:
    generator = load_generator(request.getfixturevalue(name))
    sounds = generator.generate(["rain", "a dog"], seconds=0.5, num_steps=2, candidates=2, seed=1, level="as-is")
    for sound in sounds:
        singles = [
            generator.generate([sound.prompt], seconds=0.5, num_steps=2, seed=seed, level="as-is")[0].waveform
            for seed in (1, 2)
        ]
        assert sound.candidate_scores == pytest.approx(generator.clap(sound.prompt, singles, 16000), abs=1e-5)
        assert sound.score == max(sound.candidate_scores) and -1 <= sound.score <= 1


def test_a_score_does_not_depend_on_a_random_crop(musicldm: Path) -> None:
    clap = load_generator(musicldm).clap
    waveform = np.random.default_rng(0).standard_normal(16000 * 3).astype(np.float32) / 10
    assert clap("rain", [waveform], 16000) == clap("rain", [waveform], 16000)


@pytest.mark.parametrize("negative", ["", "wind"])
def test_stable_audio_equals_the_pipeline_of_diffusers(tmp_path: Path, negative: str) -> None:
    from diffusers import StableAudioPipeline

    folder = tiny_public.save(tiny_public.stable_audio_pipeline(), tmp_path)
    generator, peer = load_generator(folder), StableAudioPipeline.from_pretrained(folder)
    theirs = peer(
        PROMPT, audio_end_in_s=1.0, num_inference_steps=4, guidance_scale=7.0, negative_prompt=negative or None,
        latents=generator.initial_latents([5]),
    ).audios[0]  # fmt: skip
    settings = {"seconds": 1.0, "num_steps": 4, "guidance_scale": 7.0}
    ours = generator.sample(generator.encode(PROMPT, negative), [5], settings, None)[0]
    assert theirs.std() > 0.01
    np.testing.assert_allclose(ours, theirs.mean(0).numpy(), atol=1e-5)


def test_stable_audio_with_its_own_scheduler(stable_audio: Path) -> None:
    generator = load_generator(stable_audio)
    assert isinstance(generator.scheduler, CosineSolver)
    first, again, other = (
        generator.generate([PROMPT], seconds=1.5, num_steps=3, seed=seed)[0].waveform for seed in (0, 0, 1)
    )
    assert first.shape == (6000,) and np.array_equal(first, again) and not np.array_equal(first, other)
    with pytest.raises(ClapgenError, match="up to 2 s"):
        generator.generate([PROMPT], seconds=2.5, num_steps=1)


@pytest.mark.parametrize("steps", [3, 20])
def test_the_cosine_solver_equals_that_of_diffusers(
    stable_audio: Path, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchsde", types.ModuleType("torchsde"))  # only its noise would need it
    from diffusers.schedulers.scheduling_cosine_dpmsolver_multistep import CosineDPMSolverMultistepScheduler

    config = json.loads((stable_audio / "scheduler" / "scheduler_config.json").read_text())
    theirs, ours = CosineDPMSolverMultistepScheduler.from_config(config), CosineSolver(config)
    theirs.set_timesteps(steps)
    ours.set_timesteps(steps)
    torch.testing.assert_close(ours.timesteps, theirs.timesteps)
    assert ours.init_noise_sigma == theirs.init_noise_sigma
    same, other = (torch.Generator().manual_seed(1) for _ in range(2))
    theirs.noise_sampler = lambda before, after: torch.randn(1, 4, 9, generator=same)
    x = y = torch.randn(1, 4, 9) * ours.init_noise_sigma
    for time in theirs.timesteps:
        predicted = [
            torch.tanh(each.scale_model_input(state, time)) * (1 + time) for each, state in ((theirs, x), (ours, y))
        ]
        x, y = theirs.step(predicted[0], time, x).prev_sample, ours.step(predicted[1], time, y, [other]).prev_sample
        torch.testing.assert_close(y, x, atol=1e-5, rtol=1e-5)
    assert x.std() > 0.1


def test_defaults_are_those_of_the_authors(audioldm2: Path, musicldm: Path, stable_audio: Path) -> None:
    chosen = {folder: load_generator(folder).kind.defaults() for folder in (audioldm2, musicldm, stable_audio)}
    assert chosen[audioldm2] == {"seconds": 10.0, "num_steps": 200, "guidance_scale": 3.5}
    assert chosen[musicldm] == {"seconds": 10.0, "num_steps": 200, "guidance_scale": 2.0}
    assert chosen[stable_audio] == {"seconds": 30.0, "num_steps": 100, "guidance_scale": 7.0}
