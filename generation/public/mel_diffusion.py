"""Diffusion over latents of a mel spectrogram, decoded by a VAE and a HiFi-GAN: the AudioLDM family."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from clapgen.errors import ClapgenError
from generation.generator import Callback
from generation.public.base import PublicGenerator, Waveform
from generation.public.catalogue import PIPELINE_FILE, read_json
from generation.public.denoising import denoise, noise_of
from generation.public.parts import load_other, load_part, place

CHANNELS_PER_HEAD = {128: 32, 192: 32, 256: 64}  # by the width of the first level, in the authors' configurations
UNSET_HEADS = 8  # what the published conversions have, because they did not set the number of heads


class MelDiffusion(PublicGenerator):
    """AudioLDM (Liu et al. 2023), its successors, and MusicLDM: all but the text side.

    The parts are those of diffusers' pipelines, driven by a loop of our own: two of the pipelines are deprecated.
    """

    unet_class = "UNet2DConditionModel"

    def _load(self, folder: Path) -> None:
        import diffusers
        from transformers import SpeechT5HifiGan

        self._load_text(folder)
        heads = authors_heads(read_json(folder / "unet" / "config.json"))
        unet = load_part(getattr(diffusers, self.unet_class), folder / "unet", **heads)
        self.unet = place(unet, self.device, self.dtype)
        self.vae = load_part(diffusers.AutoencoderKL, folder / "vae").to(self.device)
        self.vocoder = load_part(SpeechT5HifiGan, folder / "vocoder").to(self.device)
        self.scheduler = load_scheduler(folder)
        self.sample_rate = self.vocoder.config.sampling_rate
        self.networks = [*self.networks, self.unet, self.vae, self.vocoder]

    @abstractmethod
    def _load_text(self, folder: Path) -> None:
        """Load what `encode` needs, and set `networks` to it."""

    @abstractmethod
    def predict(self, latents: Tensor, time: Tensor, condition: Any, guided: bool) -> Tensor:
        """What the U-Net predicts for latents (rows, channels, frames, mels); see `denoise`."""

    def sample(
        self, condition: Any, seeds: Sequence[int], settings: Mapping[str, Any], callback: Callback | None
    ) -> list[Waveform]:
        """Waveforms (samples,); see `PublicGenerator.sample`."""
        noise = self.initial_latents(seeds, settings["seconds"])
        latents = denoise(
            self.scheduler, lambda x, time, guided: self.predict(x, time, condition, guided), noise,
            settings["num_steps"], settings["guidance_scale"], seeds, callback,
        )  # fmt: skip
        return self.decode(latents, settings["seconds"])

    def initial_latents(self, seeds: Sequence[int], seconds: float) -> Tensor:
        """Noise (seeds, channels, frames, mels), each rounded up to what the VAE reduces."""
        reduction = 2 ** (len(self.vae.config.block_out_channels) - 1)
        hop = int(np.prod(self.vocoder.config.upsample_rates))
        frames = -(-round(seconds * self.sample_rate) // hop)
        mels = self.vocoder.config.model_in_dim
        shape = (self.unet.config.in_channels, -(-frames // reduction), mels // reduction)
        return noise_of(shape, seeds).to(self.device)

    def decode(self, latents: Tensor, seconds: float) -> list[Waveform]:
        """Waveforms (samples,) of latents (batch, channels, frames, mels), cut to `seconds`."""
        log_mel = self.vae.decode(latents.float() / self.vae.config.scaling_factor).sample[:, 0]
        waveforms = self.vocoder(log_mel).reshape(len(latents), -1)
        return list(waveforms[:, : round(seconds * self.sample_rate)].float().cpu().numpy())


def authors_heads(config: Mapping[str, Any]) -> dict[str, Any]:
    """What to replace in the configuration of a U-Net so that its attention has the authors' number of heads.

    The authors' U-Net divides each level into heads of 32 channels (64 in the large model). The published conversions
    lack the number, so that diffusers takes 8 heads everywhere; the weights have the same shapes either way, and the
    output is 13 to 27 % off. A configuration that has another number than the 8 is left as it is.
    """
    widths = config.get("block_out_channels") or [0]
    unset = config.get("num_attention_heads") is None and config.get("attention_head_dim", 8) == UNSET_HEADS
    channels = CHANNELS_PER_HEAD.get(widths[0])
    return {"attention_head_dim": [width // channels for width in widths]} if unset and channels else {}


def load_scheduler(folder: Path) -> Any:
    """The scheduler of a pipeline, of the class that its configuration names.

    Raises:
        ClapgenError: there is none, or diffusers has no such class.
    """
    import diffusers

    name = read_json(folder / "scheduler" / "scheduler_config.json").get("_class_name", "")
    found = getattr(diffusers, name, None) if isinstance(name, str) and name.endswith("Scheduler") else None
    if found is None:
        raise ClapgenError(f"{folder / PIPELINE_FILE}: this version of diffusers has no scheduler {str(name)[:60]!r}.")
    return load_other(found, folder / "scheduler")
