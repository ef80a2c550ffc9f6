"""`TextToAudio`: an item does not depend on its batch, candidates are ranked within their prompt, masks are kept."""

import numpy as np
import pytest
import torch

from clapgen.audio.mastering import loudness, master, peak_dbfs
from clapgen.audio.windows import window_starts
from clapgen.cli.diagnosis import diagnose
from clapgen.errors import ClapgenError
from clapgen.model_store import save_part
from clapgen.testing import SAMPLE_RATE, tiny_model
from generation.autoencoder import Autoencoder
from generation.diffusion import DiffusionConfig
from generation.diffusion.guidance import GuidedVelocity, classifier_free
from generation.diffusion.samplers import SAMPLERS, timesteps
from generation.noise import seed_of_item
from generation.pipeline import TextToAudio
from generation.requests import DTYPES

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

    velocity = GuidedVelocity(
        Constant(), *classifier_free(torch.ones(1, 4), torch.zeros(4), 3.0), 1.0, 25, torch.float32
    )
    assert torch.allclose(velocity(torch.zeros(1, 4, 100), 0.5), torch.tensor(3.0))


class Steady:
    """A velocity that depends on the condition and on the window alone: the condition times the window's number."""

    config = DiffusionConfig(window_seconds=1.0)

    def __init__(self, rising: bool = False) -> None:
        self.rising, self.calls = rising, 0

    def __call__(self, x, time, condition, seconds):
        self.calls += 1
        return (condition[:, :1, None] * (self.calls if self.rising else 1)).expand_as(x)


def test_guidance_goes_away_from_the_negative_condition():
    towards, away = torch.full((1, 4), 5.0), torch.full((4,), 2.0)
    for scale, expected in ((1.0, 5.0), (3.0, 2.0 + 3 * (5.0 - 2.0)), (0.0, 2.0)):
        velocity = GuidedVelocity(Steady(), *classifier_free(towards, away, scale), 1.0, 25, torch.float32)
        assert torch.allclose(velocity(torch.zeros(1, 4, 25), 0.5), torch.tensor(expected))


def test_windows_fade_into_each_other_without_a_step():
    velocity = GuidedVelocity(
        Steady(rising=True), *classifier_free(torch.ones(1, 4), torch.zeros(4), 1.0), 1.0, 25, torch.float32
    )
    blended = velocity(torch.zeros(1, 4, 100), 0.5)[0, 0]
    assert float(blended[0]) == 1 and float(blended[-1]) == len(window_starts(100, 25))
    assert float(blended.diff().abs().max()) < 0.25  # even weights would jump by 0.5


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


def test_float32_is_close_to_bfloat16(tmp_path):
    tiny_model(tmp_path)
    models = [TextToAudio.from_pretrained(tmp_path, dtype=dtype) for dtype in DTYPES]
    assert [model.describe()["dtype"] for model in models] == list(DTYPES)
    a, b = (m.generate(["rain"], **QUICK)[0].waveform for m in models)
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


def test_prompts_and_numbers_of_any_usual_type(model):
    expected = model.generate(["rain", "wind"], seeds=[1, 2], **QUICK)
    assert model.generate([]) == [] == model.generate(iter([]), seeds=[])
    for prompts, seeds, steps in (
        (iter(["rain", "wind"]), np.arange(1, 3), np.int64(4)),
        (("rain", " wind\n"), (each for each in (1, 2)), 4.0),
        (np.array(["rain", "wind"]), [np.int32(1), 2.0], np.float32(4)),
    ):
        found = model.generate(prompts, seeds=seeds, seconds=1, num_steps=steps)
        assert [sound.seed for sound in found] == [1, 2]
        assert all(np.array_equal(a.waveform, b.waveform) for a, b in zip(expected, found, strict=True))


def test_seeds_above_32_bits_are_other_sounds_and_one_may_be_drawn(model):
    seeds = [0, 2**32, 2**32 + 1, 1, 2**63, 2**64 - 1]
    sounds = model.generate(["rain"] * len(seeds), seeds=seeds, **QUICK)
    assert len({sound.waveform.tobytes() for sound in sounds}) == len(seeds)
    drawn = model.generate(["rain"], seed=-1, **QUICK)[0]
    [again] = model.generate(["rain"], seed=drawn.seed, **QUICK)
    assert drawn.seed >= 0 and np.array_equal(drawn.waveform, again.waveform)
    [last] = model.generate(["rain"], seed=2**64 - 1, candidates=2, **QUICK)
    assert last.seed in (2**64 - 1, 0)  # the seeds of candidates go round


def test_sounds_have_the_level_that_is_asked_for(model):
    settings = {"seconds": 2.0, "num_steps": 2}
    [default] = model.generate(["rain"], **settings)
    [quiet] = model.generate(["rain"], loudness=-33, **settings)
    [as_is] = model.generate(["rain"], level="as-is", **settings)
    assert loudness(quiet.waveform, SAMPLE_RATE) == pytest.approx(-33, abs=0.1)
    for sound in (default, quiet, as_is):
        assert peak_dbfs(sound.waveform) == pytest.approx(sound.decoder_peak + sound.gain, abs=1e-3)
        assert sound.decoder_peak == pytest.approx(default.decoder_peak, abs=1e-3)
    assert as_is.gain == pytest.approx(min(0.0, -default.decoder_peak), abs=1e-3)


def test_warnings_say_what_the_model_does_not_know_or_read(model):
    long, russian = "rain and wind and " * 50, "проливной дождь"
    found = model.prompt_warnings(["rain", long, russian, russian])
    assert list(found) == [long, russian]
    assert "reads only the first 77" in found[long][0] and "English" in found[russian][0]
    plain, foreign = model.generate(["rain", russian], negative_prompt=None, **QUICK)
    assert (plain.warnings, foreign.warnings) == ([], found[russian])
    [sound] = model.generate(["rain"], negative_prompt=russian, **QUICK)
    assert sound.warnings == found[russian]


def test_what_the_caller_has_set_in_torch_changes_no_sound(model):
    settings = {"negative_prompt": "wind", "candidates": 2, **QUICK}
    [expected] = model.generate(["rain"], **settings)
    parts = (model.network, model.autoencoder, model.clap)
    buffers = {name: value.clone() for name, value in model.clap.named_buffers()}
    outer = torch.nn.ModuleList(parts).train()
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            [found] = model.generate(["rain"], **settings)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert all(part.training for part in parts)
    outer.eval()
    assert np.array_equal(expected.waveform, found.waveform) and expected.candidate_scores == found.candidate_scores
    assert all(torch.equal(buffers[name], value) for name, value in model.clap.named_buffers())


@pytest.mark.slow
@pytest.mark.parametrize(("instructions", "dtype"), [("avx512_bf16", "bfloat16"), ("", "float32")])
def test_bfloat16_is_the_default_where_the_cpu_has_it(model, tmp_path, monkeypatch, instructions, dtype):
    monkeypatch.setattr("clapgen.devices.cpu_bfloat16", lambda: instructions)
    tiny_model(tmp_path)
    assert TextToAudio.from_pretrained(tmp_path).describe()["dtype"] == dtype
    assert TextToAudio.from_pretrained(tmp_path, dtype="bfloat16").describe()["dtype"] == "bfloat16"
    assert f"generates in {dtype}" in diagnose().text()


@pytest.mark.parametrize("device", ["cuda", "cuda:3", "mps", "gpu", torch.device("cuda")])
def test_a_device_that_is_not_there_is_named(tmp_path, device):
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("has an accelerator")
    tiny_model(tmp_path)
    for load in (TextToAudio.from_pretrained, Autoencoder.from_pretrained):
        with pytest.raises(ClapgenError, match=r"cpu"):
            load(tmp_path, device=device)


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
