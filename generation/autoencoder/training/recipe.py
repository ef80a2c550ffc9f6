"""Training of the autoencoder: `clapgen train autoencoder manifest=…`.

One run has two stages. First encoder and decoder are trained on spectral losses with a light KL term. From step
`adversary.start` the encoder and the latent scale are frozen, so that latents computed from then on stay valid, and the
decoder continues against discriminators.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clapgen.audio.mel import LogMel
from clapgen.clap import Clap
from clapgen.configuration import Source, load_config
from clapgen.data.audio_cache import AudioCache
from clapgen.data.splits import split_clips
from clapgen.errors import ClapgenError
from clapgen.model_store import save_part
from clapgen.training.loop import train
from clapgen.training.provenance import describe_clips
from clapgen.training.task import Task, TrainingConfig, weight_decay_groups
from generation.autoencoder.config import AutoencoderConfig
from generation.autoencoder.model import Autoencoder
from generation.autoencoder.training.discriminator import Discriminators
from generation.autoencoder.training.losses import (
    MultiResolutionLoss,
    discriminator_loss,
    feature_matching,
    generator_loss,
    kl_divergence,
)
from generation.autoencoder.training.perceptual import ClapPerceptualLoss

PART = "autoencoder"


@dataclass
class CropConfig:
    """Crop length and random gain of training clips; how many held-out clips are evaluated, and how much of each."""

    seconds: float = 1.28
    gain_db: list[float] = field(default_factory=lambda: [-12.0, 6.0])
    validation_clips: int = 32
    validation_seconds: float = 4.0


@dataclass
class LossConfig:
    """Weights of the losses; `windows` are the window lengths of the spectral distances, in samples.

    `clap` is the weight of the perceptual loss with the CLAP of `clap_model` (a model's name or folder), which is used
    in the adversarial stage only.
    """

    windows: list[int] = field(default_factory=lambda: [2048, 1024, 512, 256, 128])
    log_magnitude: float = 1.0
    magnitude: float = 1.0
    log_mel: float = 1.0
    kl: float = 3e-3
    adversarial: float = 0.2
    feature_matching: float = 1.0
    clap: float = 0.0
    clap_model: str = "runs/clap/model"


@dataclass
class AdversaryConfig:
    """The adversarial stage. Only `batch_size` crops of a batch are judged: discriminators are the largest cost."""

    start: int = 8_000
    windows: list[int] = field(default_factory=lambda: [2048, 1024, 512])
    channels: int = 16
    batch_size: int = 4
    learning_rate_scale: float = 2.0


@dataclass
class AutoencoderRecipe:
    """The whole recipe; `free_only` excludes clips whose licence does not allow commercial use."""

    manifest: str = ""
    cache: str = "runs/cache"
    free_only: bool = False
    train_split: str = "train"
    validation_split: str = "val"
    model: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    crops: CropConfig = field(default_factory=CropConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    adversary: AdversaryConfig = field(default_factory=AdversaryConfig)
    linear_learning_rate_scale: float = 0.1
    training: TrainingConfig = field(default_factory=TrainingConfig)


class AutoencoderTask(Task):
    """Autoencoder training on cached `clips`, with evaluation on `validation` (may be None)."""

    def __init__(self, recipe: AutoencoderRecipe, clips: AudioCache, validation: AudioCache | None = None) -> None:
        self.recipe, self.clips, self.validation = recipe, clips, validation
        config = recipe.model
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.training.seed)
            self.autoencoder = Autoencoder(config)
            self.discriminators = Discriminators(recipe.adversary.windows, recipe.adversary.channels)
        self.spectral = MultiResolutionLoss(config.sample_rate, recipe.loss.windows)
        self.perceptual = self._perceptual_loss()
        self.crop = math.ceil(round(recipe.crops.seconds * config.sample_rate) / config.samples_per_latent)
        self.weights = np.cumsum(clips.lengths / clips.lengths.sum())
        self.step = 0
        # The generator's optimizer steps first; its loss queues reconstructions for the discriminator's.
        self.reconstructions: deque[Tensor] = deque()

    def _perceptual_loss(self) -> ClapPerceptualLoss | None:
        if not self.recipe.loss.clap:
            return None
        clap = Clap.from_pretrained(self.recipe.loss.clap_model)
        if clap.sample_rate != self.recipe.model.sample_rate:
            raise ClapgenError(
                f"loss.clap_model works at {clap.sample_rate} Hz, but the autoencoder at "
                f"{self.recipe.model.sample_rate} Hz; choose another model or set loss.clap=0."
            )
        return ClapPerceptualLoss(clap)

    def networks(self) -> dict[str, nn.Module]:
        model = self.autoencoder
        return {
            "encoder": model.encoder,
            "decoder": model.decoder,
            "latent_scale": model.latent_scale,
            "discriminators": self.discriminators,
        }

    def provenance(self) -> dict[str, Any]:
        sets = {"training clips": self.clips, "validation clips": self.validation}
        return {n: describe_clips(data.clips, data.lengths, texts=False) for n, data in sets.items() if data}

    def ema_networks(self) -> list[str]:
        """Only the decoder: an average of the encoder would keep changing after `adversary.start`."""
        return ["decoder"]

    def parameter_groups(self) -> dict[str, list[dict[str, Any]]]:
        discriminators = weight_decay_groups([self.discriminators])
        for group in discriminators:
            group["learning_rate_scale"] = self.recipe.adversary.learning_rate_scale
        model = self.autoencoder
        linear = weight_decay_groups([model.encoder.project, model.decoder.unproject])
        for group in linear:  # well initialised: only to be refined
            group |= {"learning_rate_scale": self.recipe.linear_learning_rate_scale, "weight_decay": 0.0}
        taken = {id(p) for group in linear for p in group["params"]}
        networks = weight_decay_groups([model.encoder, model.decoder])
        for group in networks:
            group["params"] = [p for p in group["params"] if id(p) not in taken]
        return {"generator": networks + linear, "discriminator": discriminators}

    def batch(self, index: int, generator: torch.Generator) -> dict[str, Tensor]:
        config, size = self.recipe.model, self.recipe.training.batch_size
        samples = self.crop * config.samples_per_latent
        return {
            "waveform": torch.stack([self._random_crop(samples, generator) for _ in range(size)]),
            "posterior_noise": torch.randn(size, self.crop, config.latent_dim, generator=generator),
            "noise": torch.randn(2, size, samples + config.n_fft - config.hop_length, generator=generator),
        }

    def _random_crop(self, samples: int, generator: torch.Generator) -> Tensor:
        """A crop at a random gain: every second of the corpus is equally likely, but near silence is avoided."""
        for _ in range(3):
            draws = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
            clip = min(int(np.searchsorted(self.weights, draws[0])), len(self.clips) - 1)
            start = int(draws[1] * max(1, int(self.clips.lengths[clip]) - samples + 1))
            crop = self.clips.crop(clip, start, samples)
            if len(crop) and np.sqrt(np.mean(crop**2)) > 1e-3:
                break
        low, high = self.recipe.crops.gain_db
        gain = min(10 ** ((low + draws[2] * (high - low)) / 20), 1 / max(1e-3, float(np.abs(crop).max(initial=0))))
        return torch.from_numpy(np.pad(crop * np.float32(gain), (0, samples - len(crop))))

    def prepare(self, step: int) -> None:
        """Initialise the linear paths at the very first step, and set the latent scale when the adversarial stage
        starts."""
        self.step, start = step, self.recipe.adversary.start
        if step == 0:
            self.autoencoder.start_from_principal_components(self._fixed_crops(512))
        if step == start or (step > start and not self.autoencoder.latent_scale.is_measured):
            self._measure_latents()

    def loss(self, batch: dict[str, Tensor], group: str, step: int) -> tuple[Tensor | None, dict[str, Any]]:
        adversarial = step >= self.recipe.adversary.start
        if group == "generator":
            return self._generator_loss(batch, adversarial)
        return self._discriminator_loss(batch) if adversarial else (None, {})

    def _generator_loss(self, batch: dict[str, Tensor], adversarial: bool) -> tuple[Tensor, dict[str, Any]]:
        weights = self.recipe.loss
        with torch.set_grad_enabled(not adversarial):
            mean, log_variance = self.autoencoder.encoder(batch["waveform"])
            latents = mean + (0.5 * log_variance).exp() * batch["posterior_noise"]
        draws = self.autoencoder.decoder(latents, batch["noise"])
        with torch.autocast(draws.device.type, enabled=False):
            metrics = self.spectral.to(draws.device)(batch["waveform"], draws)
        total = sum(getattr(weights, name) * value for name, value in metrics.items())
        metrics["kl"] = kl_divergence(mean, log_variance)
        if not adversarial:
            return total + weights.kl * metrics["kl"], metrics
        if self.perceptual is not None:
            metrics["clap"] = self.perceptual.to(draws.device)(batch["waveform"], draws[0])
            total = total + weights.clap * metrics["clap"]
        judged = self.recipe.adversary.batch_size
        fake = draws[0, :judged]
        self.reconstructions.append(fake.detach())
        fake_scores, fake_layers = self.discriminators(fake)
        with torch.no_grad():
            _, real_layers = self.discriminators(batch["waveform"][:judged])
        metrics["adversarial"] = generator_loss(fake_scores)
        metrics["feature_matching"] = feature_matching(real_layers, fake_layers)
        total = total + weights.adversarial * metrics["adversarial"]
        return total + weights.feature_matching * metrics["feature_matching"], metrics

    def _discriminator_loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Any]]:
        real, _ = self.discriminators(batch["waveform"][: self.recipe.adversary.batch_size])
        fake, _ = self.discriminators(self.reconstructions.popleft())
        return discriminator_loss(real, fake), {}

    @torch.no_grad()
    def _measure_latents(self) -> None:
        """Set the latent scale from a fixed draw of training crops."""
        waveforms = self._fixed_crops(256)
        means = torch.cat([self.autoencoder.encoder(part)[0] for part in waveforms.split(16)])
        self.autoencoder.latent_scale.measure(means)

    def _fixed_crops(self, count: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.recipe.training.seed)
        samples = self.crop * self.recipe.model.samples_per_latent
        crops = torch.stack([self._random_crop(samples, generator) for _ in range(count)])
        return crops.to(self.autoencoder.latent_scale.mean.device)

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Reconstruction error of the validation clips: mean log-mel error in dB, and spectral distances."""
        if self.validation is None:
            return {}
        config, crops = self.recipe.model, self.recipe.crops
        device = self.autoencoder.latent_scale.mean.device
        log_mel = LogMel(config.sample_rate, 2048, 512, 128, amin=1e-7).to(device)
        picks = np.linspace(0, len(self.validation) - 1, min(crops.validation_clips, len(self.validation))).astype(int)
        rows: list[dict[str, float]] = []
        for pick in np.unique(picks):
            crop = self.validation.crop(int(pick), 0, round(crops.validation_seconds * config.sample_rate))
            waveform = torch.from_numpy(crop)[None].to(device)
            if waveform.shape[1] <= config.samples_per_latent:
                continue
            rebuilt = self.autoencoder.reconstruct(waveform)
            distances = self.spectral.to(device)(waveform, rebuilt.expand(2, -1, -1))
            error = (log_mel(rebuilt) - log_mel(waveform)).abs().mean()
            rows.append({"mel_l1_db": float(error)} | {name: float(value) for name, value in distances.items()})
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]} if rows else {}

    def export(self, directory: Path) -> None:
        if self.step < self.recipe.adversary.start:
            self._measure_latents()
        save_part(directory, PART, self.recipe.model, self.autoencoder)


def open_clips(recipe: AutoencoderRecipe) -> tuple[AudioCache, AudioCache | None]:
    """The decoded training and validation clips of a recipe; None if no clip is held out."""
    rate = recipe.model.sample_rate
    training, held_out = split_clips(recipe.manifest, recipe.train_split, recipe.validation_split, recipe.free_only)
    clips = AudioCache.build(training, rate, recipe.cache)
    return clips, AudioCache.build(held_out, rate, recipe.cache) if held_out else None


def run(config: Source = None, overrides: Sequence[str] = ()) -> dict[str, float]:
    """Train an autoencoder according to a recipe: `clapgen train autoencoder manifest=…`."""
    recipe = load_config(AutoencoderRecipe, config, overrides)
    return train(AutoencoderTask(recipe, *open_clips(recipe)), recipe.training, recipe=recipe)
