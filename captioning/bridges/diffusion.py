"""The diffusion bridge: audio embeddings are treated as noisy text embeddings and denoised."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from captioning.bridges.base import BRIDGES, Bridge, BridgeData, paired_embeddings, require
from captioning.bridges.denoiser import Denoiser, cosine_schedule
from captioning.bridges.mean_shift import mean_of_text
from clapgen.training.seeds import seeded


@dataclass
class DiffusionBridgeConfig:
    """Size of the denoiser, its schedule, and the step at which an audio embedding enters it (`start` of `steps`).

    `signal_to_noise` is the length of a clean embedding divided by that of the noise. With `paired` the denoiser is
    trained on audio-text pairs, and `topology_weight` weighs the topology loss. In training the decoder gets text
    embeddings noised to step `noise_step` and denoised again (0: unchanged text embeddings).
    """

    RENAMED_KEYS: ClassVar = {"signal": "signal_to_noise", "topology": "topology_weight"}

    width: int = 512
    blocks: int = 3
    steps: int = 1000
    start: int = 400
    sampling_steps: int = 5
    signal_to_noise: float = 0.22
    paired: bool = False
    topology_weight: float = 1.0
    noise_step: int = 0


@BRIDGES.register("diffusion")
class DiffusionBridge(Bridge):
    """Diffusion Bridge (Lee et al. 2025) with the network of Diffusion-Link (2025, arXiv 2510.11330).

    From Diffusion Bridge: text embeddings, centred and normalised, are diffused over 1,000 steps of a cosine schedule;
    the network is given only the direction of a noisy one and predicts the clean one. An audio embedding, minus the
    audio mean, enters at `start` without noise and is denoised in `sampling_steps` deterministic DDIM steps (Song et
    al. 2020). The audio mean is the text mean plus the gap of the pairs, as in `MeanShiftBridge`, or the text mean if
    there are no pairs. From Diffusion-Link: the network is three residual MLP blocks; with `paired`, noisy audio and
    noisy text embeddings are both denoised into the caption's, and the cosines within a batch of predictions should
    match those of its captions (topology loss).

    Ours: `signal_to_noise` (Diffusion Bridge: 5 / sqrt(512)); the time conditioning, widths and loss weights, which we
    did not find for Diffusion-Link; and adding the text mean back, so that the decoder works in CLAP's own space.
    """

    section = "diffusion"
    reads_pairs = True
    maps_audio_to_text = True
    text_mean: Tensor
    audio_mean: Tensor
    text_radius: Tensor
    signal_share: Tensor
    pair_audio: Tensor
    pair_text: Tensor

    def __init__(self, config: DiffusionBridgeConfig, dim: int) -> None:
        super().__init__()
        _check(config)
        self.config, self.dim = config, dim
        with seeded(0):
            self.denoiser = Denoiser(dim, config.width, config.blocks)
        self.register_buffer("text_mean", torch.zeros(dim))
        self.register_buffer("audio_mean", torch.zeros(dim))
        self.register_buffer("text_radius", torch.zeros(()))  # mean distance of text embeddings from their mean
        self.register_buffer("signal_share", cosine_schedule(config.steps), persistent=False)
        self.register_buffer("pair_audio", torch.zeros(0, dim), persistent=False)
        self.register_buffer("pair_text", torch.zeros(0, dim), persistent=False)

    def fit(self, data: BridgeData) -> None:
        mean = mean_of_text(data.text, self.name)
        self.text_mean.copy_(mean)
        self.audio_mean.copy_(mean)
        self.text_radius.copy_((data.text - mean).norm(dim=-1).mean())
        if self.config.paired or data.audio is not None:
            audio, text = paired_embeddings(data, self.name)
            self.audio_mean.copy_(mean + (audio - text).mean(0))
            if self.config.paired:
                self.pair_audio, self.pair_text = audio.to(self.pair_audio), text.to(self.pair_text)

    @torch.no_grad()
    def augment(self, embeddings: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
        if self.config.noise_step == 0:
            return embeddings
        step = self.config.noise_step
        clean = F.normalize(embeddings - self.text_mean, dim=-1)
        noisy = self._diffuse(clean, torch.full((len(clean),), step - 1), generator)
        return self._uncentred(self._denoise(noisy, step))

    @torch.no_grad()
    def audio(self, embeddings: Tensor) -> Tensor:
        return self._uncentred(self._denoise(F.normalize(embeddings - self.audio_mean, dim=-1), self.config.start))

    def loss(self, embeddings: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Squared error of the predicted clean embedding, plus the topology loss in paired mode."""
        if self.config.paired:
            return self._paired_loss(len(embeddings), generator)
        clean = F.normalize(embeddings - self.text_mean, dim=-1)
        return self._error(self._predict_noised(clean, generator), clean)

    def _paired_loss(self, batch_size: int, generator: torch.Generator) -> Tensor:
        drawn = torch.randint(len(self.pair_text), (batch_size,), generator=generator).to(self.pair_text.device)
        text = F.normalize(self.pair_text[drawn] - self.text_mean, dim=-1)
        audio = F.normalize(self.pair_audio[drawn] - self.audio_mean, dim=-1)
        from_audio, from_text = (self._predict_noised(clean, generator) for clean in (audio, text))
        unit = F.normalize(from_audio, dim=-1)
        topology = F.mse_loss(unit @ unit.T, text @ text.T)
        return self._error(from_audio, text) + self._error(from_text, text) + self.config.topology_weight * topology

    def _error(self, predicted: Tensor, clean: Tensor) -> Tensor:
        return (predicted - clean).square().sum(-1).mean()

    def _predict_noised(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """The network's estimate of `clean` (n, dim) from versions noised to a random step each."""
        times = torch.randint(self.config.steps, (len(clean),), generator=generator)
        return self._predict(self._diffuse(clean, times, generator), times.to(clean.device))

    def _diffuse(self, clean: Tensor, times: Tensor, generator: torch.Generator) -> Tensor:
        """Direction (n, dim) of clean + noise at 0-based steps (n,)."""
        share = self.signal_share[times.to(clean.device)][:, None]
        noise = torch.randn(clean.shape, generator=generator).to(clean.device) / math.sqrt(self.dim)
        return F.normalize(share.sqrt() * self.config.signal_to_noise * clean + (1 - share).sqrt() * noise, dim=-1)

    def _predict(self, direction: Tensor, times: Tensor) -> Tensor:
        """The network's estimate of the clean embedding (n, dim); the longer, the more certain."""
        scale = math.sqrt(self.dim)  # components near 1, as the layers expect
        return self.denoiser(direction * scale, (times + 1) / self.config.steps) / scale

    def _denoise(self, direction: Tensor, start: int) -> Tensor:
        """DDIM without noise from step `start` to 0; directions (n, dim) in, clean embeddings of length 1 out."""
        times = torch.linspace(start, 0, self.config.sampling_steps + 1).round().long().tolist()
        clean = direction
        for now, after in zip(times[:-1], times[1:], strict=True):
            clean = self._predict(direction, torch.full((len(direction),), now - 1, device=direction.device))
            if after == 0:
                break
            share, next_share = self.signal_share[now - 1], self.signal_share[after - 1]
            signal = self.config.signal_to_noise * clean
            length = (share * self.config.signal_to_noise**2 + 1 - share).sqrt()  # expected length of signal plus noise
            noise = (length * direction - share.sqrt() * signal) / (1 - share).sqrt()
            direction = F.normalize(next_share.sqrt() * signal + (1 - next_share).sqrt() * noise, dim=-1)
        return F.normalize(clean, dim=-1)

    def _uncentred(self, clean: Tensor) -> Tensor:
        return F.normalize(self.text_mean + self.text_radius * clean, dim=-1)

    def describe(self) -> dict[str, float | str]:
        share = float(self.signal_share[self.config.start - 1])
        signal = math.sqrt(share) * self.config.signal_to_noise
        return {
            "parameters": sum(p.numel() for p in self.parameters()),
            "cosine of clean and noisy where audio enters": signal / math.sqrt(signal**2 + 1 - share),
        }


def _check(config: DiffusionBridgeConfig) -> None:
    for key in ("width", "blocks", "steps", "sampling_steps"):
        require(getattr(config, key) >= 1, f"diffusion.{key}", getattr(config, key), "1 or more")
    require(1 <= config.start <= config.steps, "diffusion.start", config.start, f"1 to diffusion.steps, {config.steps}")
    require(
        config.sampling_steps <= config.start,
        "diffusion.sampling_steps",
        config.sampling_steps,
        "at most diffusion.start",
    )
    require(
        config.noise_step == 0 or config.sampling_steps <= config.noise_step <= config.steps,
        "diffusion.noise_step",
        config.noise_step,
        "0 (off), or from diffusion.sampling_steps to diffusion.steps",
    )
    require(0 < config.signal_to_noise < math.inf, "diffusion.signal_to_noise", config.signal_to_noise, "more than 0")
    require(0 <= config.topology_weight < math.inf, "diffusion.topology_weight", config.topology_weight, "0 or more")
