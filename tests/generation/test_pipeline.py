"""`TextToAudio`: an item does not depend on its batch, candidates are ranked within their prompt, masks are kept."""

import numpy as np
import pytest
import torch

from clapgen.audio.mastering import master
from clapgen.audio.windows import window_starts
from clapgen.errors import ClapgenError
from clapgen.model_store import save_part
from clapgen.testing import SAMPLE_RATE, tiny_model
from generation.diffusion import DiffusionConfig
from generation.diffusion.guidance import GuidedVelocity
from generation.diffusion.samplers import SAMPLERS, timesteps
from generation.noise import seed_of_item
from generation.pipeline import TextToAudio

PROMPTS = ["rain on a tin roof", "a dog barks twice", "church bells"]
QUICK = {"seconds": 1.0, "num_steps": 4}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> TextToAudio:
    return TextToAudio.from_pretrained(tiny_model(tmp_path_factory.mktemp("tiny")))


def test_sounds_have_the_requested_length_and_peak_at_minus_one_dbfs(model):
    for seconds in (0.5, 1.0, 1.37):
        [sound] = model.generate(["rain"], seconds=seconds, num_steps=2)
        assert sound.waveform.shape == (round(seconds * SAMPLE_RATE),) and sound.waveform.dtype == np.float32
        assert np.abs(sound.waveform).max() == pytest.approx(10 ** (-1 / 20), abs=1e-4)
        assert sound.sample_rate == SAMPLE_RATE and sound.prompt == "rain" and -1 <= sound.score <= 1


def test_an_item_of_a_batch_is_bit_for_bit_the_item_alone(model):
    together = model.generate(PROMPTS, seeds=[5, 6, 7], **QUICK)
    for prompt, seed, sound in zip(PROMPTS, [5, 6, 7], together, strict=True):
        [alone] = model.generate([prompt], seed=seed, **QUICK)
        assert np.array_equal(alone.waveform, sound.waveform) and alone.score == sound.score


def test_a_long_sound_is_processed_in_windows_of_the_trained_length(model, monkeypatch):
    seen = []
    forward = model.network.forward
    monkeypatch.setattr(
        model.network, "forward", lambda x, t, c, s: (seen.append((x.shape[-1], s[0])), forward(x, t, c, s))[1]
    )
    monkeypatch.setattr(model.network.config, "window_seconds", 1.0)
    [sound] = model.generate(["rain"], seconds=2.3, num_steps=1)
    assert len(sound.waveform) == round(2.3 * SAMPLE_RATE)
    assert window_starts(58, 25) == [0, 12, 24, 33]
    assert seen == [(25, 1.0)] * 4


def test_windows_of_equal_velocity_blend_to_that_velocity():
    class Constant:
        config = DiffusionConfig(window_seconds=1.0)

        def __call__(self, x, time, condition, seconds):
            return condition[:, :1, None].expand_as(x)

    velocity = GuidedVelocity(Constant(), torch.ones(1, 4), torch.zeros(4), 3.0, 1.0, 25, torch.float32)
    assert torch.allclose(velocity(torch.zeros(1, 4, 100), 0.5), torch.tensor(3.0))


def test_seeds_prompts_and_guidance_change_the_sound(model):
    [first] = model.generate(["rain"], **QUICK)
    for change in ({"seed": 1}, {"guidance_scale": 1.0}, {"negative_prompt": "wind"}, {"num_steps": 5}):
        [other] = model.generate(["rain"], **{**QUICK, **change})
        assert not np.array_equal(first.waveform, other.waveform)


def test_the_steps_of_the_pipeline_make_its_sound(model):
    [whole] = model.generate(["rain"], negative_prompt="wind", seed=3, sampler="heun", time_shift=2.0, **QUICK)
    condition, negative = model.encode_prompts(["rain"], "wind")
    latents = model.initial_latents([3], 1.0)
    latents = model.solve(latents, timesteps(4, 2.0), condition, negative, 1.0, sampler="heun")
    [decoded] = model.decode(latents, 1.0, [seed_of_item("rain", 3)])
    waveform, gain = master(decoded, model.sample_rate)
    [sound] = model.rank(["rain"], condition, [3], [waveform], [gain])
    assert np.array_equal(whole.waveform, sound.waveform)
    assert (whole.score, whole.seed, whole.decoder_peak) == (sound.score, sound.seed, sound.decoder_peak)


@pytest.mark.parametrize("sampler", SAMPLERS.names())
@pytest.mark.parametrize("start", [1.0, 0.6])
def test_outside_the_mask_latents_follow_the_known_ones(model, sampler, start):
    condition, negative = model.encode_prompts(["rain"])
    noise, known = model.initial_latents([0], 1.0), model.initial_latents([1], 1.0)
    mask = torch.arange(noise.shape[-1]) < 10  # generate the first 10 frames
    times = [start * time for time in timesteps(5)]
    seen = []
    solved = model.solve(
        torch.lerp(known, noise, start), times, condition, negative, 1.0,
        sampler=sampler, mask=mask, known=known, callback=seen.append,
    )  # fmt: skip
    for step, time in zip(seen, times[1:], strict=True):
        noised = torch.lerp(known, noise, time)
        assert torch.allclose(step["x"][..., ~mask], noised[..., ~mask], atol=1e-5)
    assert torch.allclose(solved[..., ~mask], known[..., ~mask], atol=1e-5)
    free = model.solve(torch.lerp(known, noise, start), times, condition, negative, 1.0, sampler=sampler)
    assert not torch.allclose(solved[..., mask], known[..., mask], atol=0.1)
    assert not torch.equal(solved[..., mask], free[..., mask])  # the network sees the known frames
    with pytest.raises(ValueError, match="known"):
        model.solve(noise, times, condition, negative, 1.0, mask=mask)


def test_candidates_are_ranked_within_their_own_prompt(model):
    best = model.generate(PROMPTS, seed=10, candidates=3, **QUICK)
    for prompt, sound in zip(PROMPTS, best, strict=True):
        singles = [model.generate([prompt], seed=10 + c, **QUICK)[0] for c in range(3)]
        assert sound.candidate_scores == [single.score for single in singles]
        winner = max(singles, key=lambda single: single.score)
        assert sound.seed == winner.seed and np.array_equal(sound.waveform, winner.waveform)


def test_the_callback_gets_steps_and_items(model):
    seen = []
    model.generate(PROMPTS[:2], callback=seen.append, **QUICK)
    assert [(s["item"], s["i"]) for s in seen] == [(item, i) for item in range(2) for i in range(4)]
    assert all(s["num_items"] == 2 and s["num_steps"] == 4 for s in seen)


def test_float32_is_close_to_bfloat16(model, tmp_path):
    tiny_model(tmp_path)
    exact = TextToAudio.from_pretrained(tmp_path, dtype="float32")
    assert exact.describe()["dtype"] == "float32"
    a, b = (m.generate(["rain"], **QUICK)[0].waveform for m in (exact, model))
    assert not np.array_equal(a, b) and np.corrcoef(a, b)[0, 1] > 0.9


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"prompts": [" "]}, "prompt 1 is empty"),
        ({"seconds": -1}, "seconds must be"),
        ({"seconds": 1e9}, "seconds must be"),
        ({"seconds": float("nan")}, "seconds must be"),
        ({"num_steps": 0}, "steps must be"),
        ({"guidance_scale": -1}, "guidance_scale must be"),
        ({"guidance_scale": float("nan")}, "guidance_scale must be"),
        ({"candidates": 0}, "candidates must be"),
        ({"seeds": [1, 2]}, "2 seeds"),
        ({"seed": -2}, "seed must be"),
        ({"seed": 2**64}, "seed must be"),
        ({"seed": True}, "seed must be"),
        ({"seed": 1.5}, "seed must be"),
        ({"seed": "1"}, "seed must be"),
        ({"seeds": 5}, "seeds must be a list"),
        ({"num_steps": 3.5}, "num_steps must be a whole number"),
        ({"num_steps": True}, "num_steps must be"),
        ({"prompts": [None]}, "prompt 1 must be text"),
        ({"prompts": ["rain", 7]}, "prompt 2 must be text"),
        ({"prompts": "rain"}, "list of prompts"),
        ({"prompts": None}, "list of prompts"),
        ({"negative_prompt": "  "}, "negative_prompt is empty"),
        ({"time_shift": -1}, "time_shift must be"),
        ({"time_shift": float("nan")}, "time_shift must be"),
        ({"peak": 3}, "peak must be"),
        ({"peak": float("nan")}, "peak must be"),
        ({"loudness": 1}, "loudness must be"),
        ({"level": "loud"}, "as-is"),
        ({"peak": -3, "loudness": -20}, "exclude each other"),
        ({"sampler": "hoin"}, "heun"),
        ({"time_shift": 0}, "time_shift must be"),
    ],
)
def test_values_out_of_range_are_named(model, change, problem):
    with pytest.raises(ClapgenError, match=problem):
        model.generate(**{"prompts": ["rain"], **QUICK, **change})


def test_parts_that_were_not_trained_for_each_other_are_refused(model, tmp_path):
    tiny_model(tmp_path)
    with torch.no_grad():
        model.clap.text_projection[0].bias += 1
    save_part(tmp_path, "clap", model.clap.config, model.clap)
    with torch.no_grad():
        model.clap.text_projection[0].bias -= 1
    with pytest.raises(ClapgenError, match="was trained with clap"):
        TextToAudio.from_pretrained(tmp_path)


def test_an_unknown_dtype_is_named(tmp_path):
    with pytest.raises(ClapgenError, match="float16"):
        TextToAudio.from_pretrained(tmp_path, dtype="float16")
