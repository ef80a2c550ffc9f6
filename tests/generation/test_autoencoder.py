"""The autoencoder: any length, no seams, no dependence on the batch, and its training."""

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

import generation.autoencoder.model as model_module
import generation.noise as noise_module
from clapgen.audio import write_audio
from clapgen.clap import Clap
from clapgen.configuration import load_config, to_dict
from clapgen.data.manifest import Clip, save_manifest
from clapgen.errors import ClapgenError
from clapgen.testing import tiny_model
from generation.autoencoder import Autoencoder, AutoencoderConfig
from generation.autoencoder.decoder import TONE_SPACING, Decoder
from generation.autoencoder.training.discriminator import Discriminators
from generation.autoencoder.training.losses import (
    MultiResolutionLoss,
    RealFFT,
    discriminator_loss,
    energy_distance,
    feature_matching,
    kl_divergence,
)
from generation.autoencoder.training.perceptual import ClapPerceptualLoss
from generation.autoencoder.training.recipe import AutoencoderRecipe, AutoencoderTask, open_clips, run

CONFIGS = Path(__file__).parents[2] / "configs" / "autoencoder"
TINY = {
    "sample_rate": 8000, "hop_length": 80, "n_fft": 320, "mel_n_fft": 256, "fine_n_fft": 512, "fine_mels": 32,
    "n_mels": 32, "latent_dim": 8,
    "encoder_width": 32, "encoder_slow_width": 32, "encoder_depth": 1, "encoder_slow_depth": 1,
    "decoder_slow_width": 48, "decoder_width": 48, "decoder_depth": 2,
}  # fmt: skip


@pytest.fixture
def autoencoder() -> Autoencoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Autoencoder(AutoencoderConfig(**TINY)).eval()


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
@pytest.mark.parametrize("samples", [1, 319, 320, 400, 8001])
def test_reconstructions_keep_their_length(autoencoder: Autoencoder, samples: int) -> None:
    waveform = 0.1 * noise(2, samples)
    latents = autoencoder.encode(waveform)
    assert latents.shape == (2, autoencoder.latent_dim, -(-samples // autoencoder.hop_length))
    assert autoencoder.decode(latents, [0, 1]).shape == (2, latents.shape[2] * autoencoder.hop_length)
    rebuilt = autoencoder.reconstruct(waveform)
    assert rebuilt.shape == waveform.shape
    assert rebuilt.isfinite().all()


@torch.no_grad()
@pytest.mark.parametrize("waveform", [torch.zeros(1, 4000), 5 * noise(1, 4000).sign()], ids=["silence", "clipping"])
def test_extreme_input_stays_finite(autoencoder: Autoencoder, waveform: torch.Tensor) -> None:
    assert autoencoder.encode(waveform).isfinite().all()
    assert autoencoder.reconstruct(waveform).isfinite().all()


@torch.no_grad()
def test_long_sounds_have_no_seams(autoencoder: Autoencoder, monkeypatch: pytest.MonkeyPatch) -> None:
    waveform = 0.1 * noise(2, 90 * autoencoder.hop_length + 17)
    latents = autoencoder.encode(waveform)
    whole = autoencoder.decode(latents, [0, 1])
    monkeypatch.setattr(model_module, "CHUNK_LATENTS", 31)
    torch.testing.assert_close(autoencoder.encode(waveform), latents, atol=1e-5, rtol=0)
    torch.testing.assert_close(autoencoder.decode(latents, [0, 1]), whole, atol=1e-5, rtol=0)


@torch.no_grad()
def test_result_does_not_depend_on_the_batch_nor_on_the_global_seed(autoencoder: Autoencoder) -> None:
    waveforms = 0.1 * noise(3, 5000)
    latents = autoencoder.encode(waveforms)
    together = autoencoder.decode(latents, [5, 6, 7])
    torch.manual_seed(1)
    torch.testing.assert_close(autoencoder.encode(waveforms[1:2]), latents[1:2], atol=1e-5, rtol=0)
    torch.testing.assert_close(autoencoder.decode(latents[1:2], [6]), together[1:2], atol=1e-5, rtol=0)
    assert torch.equal(autoencoder.decode(latents, [5, 6, 7]), together)
    rebuilt = autoencoder.reconstruct(waveforms)
    torch.testing.assert_close(autoencoder.reconstruct(waveforms[1:2]), rebuilt[1:2], atol=1e-5, rtol=0)


@torch.no_grad()
def test_latents_depend_on_loudness(autoencoder: Autoencoder) -> None:
    waveform = 0.1 * noise(1, 4000)
    assert (autoencoder.encode(waveform) - autoencoder.encode(0.5 * waveform)).abs().mean() > 1e-2


def test_gradient_flows_from_sound_to_sound(autoencoder: Autoencoder) -> None:
    waveform = (0.1 * noise(1, 4000)).requires_grad_()
    autoencoder.reconstruct(waveform).square().mean().backward()
    assert waveform.grad is not None
    assert waveform.grad.isfinite().all()
    assert waveform.grad.abs().max() > 0


def test_inverse_stft_undoes_the_stft(autoencoder: Autoencoder) -> None:
    decoder, config = autoencoder.decoder, autoencoder.config
    margin = (config.n_fft - config.hop_length) // 2
    waveform = noise(2, 20 * config.hop_length + 2 * margin)
    spectrum = decoder._noise_spectrum(waveform) * decoder.window.square().sum().sqrt()
    torch.testing.assert_close(decoder._overlap_add(spectrum), waveform[:, margin:-margin], atol=1e-5, rtol=0)


@torch.no_grad()
def test_principal_components_reconstruct_the_spectrum_before_any_training(autoencoder: Autoencoder) -> None:
    levels = 10 ** (noise(24, 1) / 2 - 1.5)  # white noise at many levels: one component explains nearly all of it
    waveforms = levels * noise(24, 6400, seed=1)
    autoencoder.start_from_principal_components(waveforms)
    latents = autoencoder.encode(waveforms)
    torch.testing.assert_close(latents[:, 0].std(), torch.tensor(1.0), atol=0.05, rtol=0)
    assert latents[:, 0].mean().abs() < 0.05
    rebuilt = autoencoder.decode(latents, range(24))
    gains_db = 20 * torch.log10(rebuilt.std(1) / waveforms.std(1))
    assert gains_db.abs().max() < 6
    assert gains_db.std() < 1


def test_steady_tone_keeps_its_phase_at_any_frequency() -> None:
    """440.7 Hz is no multiple of the frame rate: frames that merely repeat could not sound at it."""
    config = AutoencoderConfig()
    decoder, frames = Decoder(config), 100
    frequency = 440.7 * config.n_fft / config.sample_rate  # in bins
    band = int(frequency / TONE_SPACING)
    spectra = torch.full((1, frames, 3 * decoder.bins + 2 * decoder.tones), -30.0)
    spectra[..., 3 * decoder.bins + band] = math.log(0.5 * config.n_fft / 4)  # half of full scale
    offset = (frequency - float(decoder.tone_centres[band])) / (0.7 * TONE_SPACING)
    spectra[..., 3 * decoder.bins + decoder.tones + band] = math.atanh(offset)
    silence = torch.zeros(1, 1, frames * config.hop_length + config.n_fft - config.hop_length)
    waveform = decoder.synthesise(spectra, decoder.tone_phase(spectra), silence)[0, 0, 3200:-3200]

    angle = 2 * math.pi * 440.7 * torch.arange(len(waveform)) / config.sample_rate
    basis = torch.stack([angle.cos(), angle.sin()], dim=1)
    amplitudes = torch.linalg.lstsq(basis, waveform[:, None]).solution
    assert amplitudes.norm().item() == pytest.approx(0.5, rel=0.01)
    assert (basis @ amplitudes)[:, 0].sub(waveform).abs().max() < 1e-3


def test_white_noise_is_one_stream_read_anywhere() -> None:
    block = noise_module.NOISE_BLOCK
    stream = noise_module.noise_stream(3, 0, 3 * block)
    read = noise_module.noise_stream(3, block - 5, block + 10)
    np.testing.assert_array_equal(read, stream[block - 5 : 2 * block + 5])
    assert stream.std() == pytest.approx(1, abs=0.01)
    assert abs(stream[:block] @ stream[block : 2 * block]) / block < 0.02


SEEDS = [0, 1, 2**32 - 1, 2**32, 2**32 + 1, 2**33, 2**63, 2**64 - 1]


def test_different_seeds_have_different_noise_however_large_they_are() -> None:
    streams = np.stack([noise_module.noise_stream(seed, 0, 10_000) for seed in SEEDS])
    starts = np.stack([noise_module.gaussian((100, 100), seed).numpy().ravel() for seed in SEEDS])
    for drawn in (streams, starts):
        assert np.abs(np.corrcoef(drawn) - np.eye(len(SEEDS))).max() < 0.05
        assert drawn.std() == pytest.approx(1, abs=0.01)
        assert drawn.dtype == np.float32


def test_items_that_differ_in_prompt_or_seed_do_not_share_noise() -> None:
    items = [("rain", 0), ("rain", 1), ("wind", 0), ("wind", 1), ("rain 0", 1)]
    assert len({noise_module.seed_of_item(prompt, seed) for prompt, seed in items}) == len(items)


def test_small_seeds_start_as_they_always_did() -> None:
    expected = torch.randn(4, 5, generator=torch.Generator().manual_seed(7))
    assert torch.equal(noise_module.gaussian((4, 5), 7), expected)


@torch.no_grad()
def test_equal_latents_with_other_noise_are_another_waveform(autoencoder: Autoencoder) -> None:
    autoencoder.start_from_principal_components(noise(8, 6400))  # its sounds are noise with the right envelope
    latents = autoencoder.encode(noise(1, 16_000)).expand(3, -1, -1)
    sounds = autoencoder.decode(latents, [0, 1, 0])
    assert torch.equal(sounds[0], sounds[2])
    assert abs(np.corrcoef(sounds[:2].numpy())[0, 1]) < 0.05
    rebuilt = autoencoder.reconstruct(noise(2, 16_000))
    assert abs(np.corrcoef(rebuilt.numpy())[0, 1]) < 0.05


def test_what_the_caller_has_set_in_torch_changes_no_sound(autoencoder: Autoencoder) -> None:
    waveform = 0.1 * noise(1, 4000)
    with torch.no_grad():
        latents, sound = autoencoder.encode(waveform), autoencoder.reconstruct(waveform)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            autoencoder.train()
            found = autoencoder.encode(waveform), autoencoder.reconstruct(waveform)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert autoencoder.training
    assert torch.equal(found[0], latents)
    assert torch.equal(found[1], sound)


def test_real_fft_has_the_gradient_of_the_transform() -> None:
    frames = noise(3, 16).double().requires_grad_()
    torch.autograd.gradcheck(RealFFT.apply, frames)


def test_energy_distance_is_smallest_for_the_right_spread() -> None:
    target, draws = noise(20_000), noise(2, 20_000, seed=1)
    distances = {spread: float(energy_distance(target, spread * draws)) for spread in (0.0, 0.5, 1.0, 2.0)}
    assert min(distances, key=lambda spread: distances[spread]) == 1.0
    assert (target - 0).abs().mean() < (target - draws).abs().mean()  # where a plain L1 would choose silence


def test_spectral_loss_is_zero_for_the_same_sound_and_grows_with_the_error() -> None:
    loss = MultiResolutionLoss(8000, [256, 64])
    waveform = 0.1 * noise(2, 4000)
    same, near, far = (loss(waveform, (gain * waveform).expand(2, -1, -1)) for gain in (1.0, 1.2, 2.0))
    for name in same:
        assert same[name] == pytest.approx(0, abs=1e-6)
        assert same[name] < near[name] < far[name]
    assert far["log_mel"].item() == pytest.approx(np.log(2), rel=0.01)


def test_kl_is_zero_at_the_prior() -> None:
    assert kl_divergence(torch.zeros(3), torch.zeros(3)) == 0
    assert kl_divergence(torch.full((3,), 2.0), torch.zeros(3)).item() == pytest.approx(2)


def test_adversarial_losses() -> None:
    sure, fooled = [torch.full((2, 5), 1.0)], [torch.full((2, 5), -1.0)]
    assert discriminator_loss(sure, fooled) == 0
    assert discriminator_loss(fooled, sure) == 4
    judge = Discriminators([256, 128], channels=4)
    scores, layers = judge(0.1 * noise(2, 2000))
    assert len(scores) == 2
    assert feature_matching(layers, layers) == 0
    assert feature_matching(layers, judge(0.2 * noise(2, 2000, seed=1))[1]) > 0.05


def test_impossible_sizes_are_refused() -> None:
    for wrong in ({"n_fft": 1000}, {"hop_length": 321}, {"kernel_size": 4}):
        with pytest.raises(ClapgenError, match=next(iter(wrong))):
            AutoencoderConfig(**wrong)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipes_load_and_fit_the_size_limit(path: Path) -> None:
    recipe = load_config(AutoencoderRecipe, path, ["manifest=clips.jsonl"])
    with torch.device("meta"):
        parameters = sum(p.numel() for p in Autoencoder(recipe.model).parameters())
    assert parameters <= 10.5e6


@pytest.fixture
def recipe(tmp_path: Path) -> AutoencoderRecipe:
    """A tiny recipe on four short sounds, one of them not free and one for validation."""
    time = np.arange(8000) / 8000
    rough = np.random.default_rng(0).standard_normal(8000)
    sounds = {
        "tone": np.sin(2 * np.pi * 440 * time), "hiss": 0.3 * rough, "unfree": np.sin(2 * np.pi * 900 * time),
        "chirp": np.sin(2 * np.pi * (300 + 400 * time) * time),
    }  # fmt: skip
    clips = []
    for name, sound in sounds.items():
        write_audio(tmp_path / f"{name}.wav", (0.5 * sound).astype(np.float32), 8000)
        split = "val" if name == "chirp" else "train"
        clips.append(Clip(tmp_path / f"{name}.wav", captions=[name], split=split, free=name != "unfree"))
    save_manifest(clips, tmp_path / "manifest.jsonl")
    source = {
        "model": TINY,
        "manifest": str(tmp_path / "manifest.jsonl"), "cache": str(tmp_path / "cache"), "free_only": True,
        "crops": {"seconds": 0.4},
        "loss": {"windows": [256, 64]},
        "adversary": {"start": 1000, "windows": [256], "channels": 4, "batch_size": 2},
        "training": {
            "output": str(tmp_path / "run"), "batch_size": 4, "steps": 60, "learning_rate": 5e-3, "warmup_steps": 5,
            "ema_decay": 0.8, "log_every": 20,
        },
    }  # fmt: skip
    return load_config(AutoencoderRecipe, source)


def test_only_free_clips_of_the_split_are_trained_on(recipe: AutoencoderRecipe) -> None:
    clips, held_out = open_clips(recipe)
    assert [clip.path.stem for clip in clips.clips] == ["tone", "hiss"]
    assert held_out is not None
    assert [clip.path.stem for clip in held_out.clips] == ["chirp"]
    recipe.free_only, recipe.validation_split = False, "test"
    clips, held_out = open_clips(recipe)
    assert len(clips) == 3
    assert held_out is None


def test_a_batch_follows_from_its_generator_alone(recipe: AutoencoderRecipe) -> None:
    task = AutoencoderTask(recipe, open_clips(recipe)[0])
    first, again, other = (task.batch(i, torch.Generator().manual_seed(seed)) for i, seed in ((3, 7), (9, 7), (3, 8)))
    for name in first:
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])
    assert first["waveform"].abs().max() <= 1


@pytest.mark.slow
def test_training_reduces_the_error_and_the_adversarial_stage_keeps_the_latents(recipe: AutoencoderRecipe) -> None:
    clips, _ = open_clips(recipe)
    before = AutoencoderTask(recipe, clips, clips).evaluate()
    after = _train(recipe)
    assert after["mel_l1_db"] < 0.6 * before["mel_l1_db"]

    output = Path(recipe.training.output) / "model"
    waveform = torch.from_numpy(clips.waveform(0)[None])
    trained = Autoencoder.from_pretrained(output)
    latents = trained.encode(waveform)

    recipe.adversary.start, recipe.training.steps = 60, 66
    _train(recipe)
    judged = Autoencoder.from_pretrained(output)
    torch.testing.assert_close(judged.encode(waveform), latents, atol=1e-3, rtol=0)
    assert not torch.equal(judged.decoder.head.weight, trained.decoder.head.weight)
    recipe.training.steps = 69
    _train(recipe)
    resumed = Autoencoder.from_pretrained(output)
    assert torch.equal(resumed.encode(waveform), judged.encode(waveform))


def _train(recipe: AutoencoderRecipe) -> dict[str, float]:
    recipe.validation_split = "train"
    return run(to_dict(recipe))


@pytest.mark.slow
def test_resume_is_exact_before_and_after_the_adversary_starts(recipe: AutoencoderRecipe, tmp_path: Path) -> None:
    recipe.adversary.start, recipe.training.accumulate, recipe.training.log_every = 4, 2, 1
    losses = []
    for name, stops in (("whole", (8,)), ("resumed", (3, 6, 8))):
        recipe.training.output = str(tmp_path / name)
        for recipe.training.steps in stops:
            recipe.training.warmup_steps = 20  # past the end: the schedule is the same wherever the run stops
            _train(recipe)
        rows = [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        losses.append({row["step"]: row["loss_generator"] for row in rows if "loss_generator" in row})
    assert losses[0] == losses[1]
    assert sorted(losses[0]) == list(range(1, 9))


def test_the_perceptual_loss_is_zero_for_equal_sounds_and_does_not_train_the_clap(tmp_path: Path) -> None:
    clap = Clap.from_pretrained(tiny_model(tmp_path))
    listener = ClapPerceptualLoss(clap)
    noise = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0)) * 0.1
    tone = torch.sin(torch.arange(4000) * 0.5).expand(2, -1).clone().requires_grad_()
    assert float(listener(noise, noise)) == pytest.approx(0.0, abs=1e-5)
    loss = listener(noise, tone)
    loss.backward()
    assert float(loss.detach()) > 1e-3
    assert float(tone.grad.abs().sum()) > 0  # type: ignore[union-attr]
    assert all(parameter.grad is None for parameter in clap.parameters())


def test_a_clap_of_another_sample_rate_is_refused(recipe: AutoencoderRecipe, tmp_path: Path) -> None:
    recipe.loss.clap, recipe.loss.clap_model = 1.0, str(tiny_model(tmp_path / "tiny"))
    recipe.model.sample_rate = 16_000
    with pytest.raises(ClapgenError, match="works at 8000 Hz"):
        AutoencoderTask(recipe, open_clips(recipe)[0])


class NoFloat64OnTheDevice(TorchFunctionMode):
    """Stands in for a GPU without float64: it may be used only on tensors that come from `.cpu()`."""

    def __init__(self) -> None:
        super().__init__()
        self.on_cpu: list[torch.Tensor] = []

    def __torch_function__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        name = getattr(function, "__name__", "")
        if name == "cpu":
            result = result.clone()
        is_on_cpu = name == "cpu" or any(any(a is t for t in self.on_cpu) for a in arguments)
        for tensor in result if isinstance(result, tuple) else [result]:
            if isinstance(tensor, torch.Tensor) and (name.startswith("__") or not name.endswith("_")):  # not in place
                assert is_on_cpu or tensor.dtype != torch.float64, f"{name} computes float64 on the device"
                self.on_cpu += [tensor] if is_on_cpu else []
        return result


def test_principal_components_need_no_float64_on_the_device(autoencoder: Autoencoder) -> None:
    waveforms = noise(4, 6400)
    with NoFloat64OnTheDevice():
        copy.deepcopy(autoencoder).start_from_principal_components(waveforms)


def test_a_hop_that_does_not_fit_is_refused_with_the_nearest_that_does() -> None:
    with pytest.raises(ClapgenError, match=r"hop_length 441 must be a multiple of .* = 4, such as 440"):
        AutoencoderConfig(sample_rate=44_100, hop_length=441, n_fft=1764)
    AutoencoderConfig(sample_rate=44_100, hop_length=440, n_fft=1760)
