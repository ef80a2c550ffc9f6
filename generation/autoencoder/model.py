"""The autoencoder as others use it: waveforms to normalised latents and back, at any length.

It replaces the usual pair of spectrogram autoencoder and vocoder; see `encoder` and `decoder`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clapgen.devices import choose_device, inference
from clapgen.model_store import Model, load_module, open_model
from generation.autoencoder.config import AutoencoderConfig
from generation.autoencoder.decoder import Decoder
from generation.autoencoder.encoder import Encoder
from generation.noise import noise_stream, seed_of_waveform

CHUNK_LATENTS = 512  # about 20 s: longer sounds are processed in overlapping pieces to bound memory


class LatentScale(nn.Module):
    """Mean and standard deviation of each latent channel over the training clips, for latents of unit variance."""

    mean: Tensor
    std: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(latent_dim))
        self.register_buffer("std", torch.ones(latent_dim))

    @property
    def is_measured(self) -> bool:
        return bool((self.mean != 0).any())

    def measure(self, latents: Tensor) -> None:
        """Set the statistics to those of posterior means `(batch, latent_frames, latent_dim)`."""
        self.mean.copy_(latents.mean((0, 1)))
        self.std.copy_(latents.std((0, 1)).clamp(min=0.1))  # an unused channel is not amplified

    def normalise(self, latents: Tensor) -> Tensor:
        return (latents - self.mean) / self.std

    def restore(self, latents: Tensor) -> Tensor:
        return latents * self.std + self.mean


class Autoencoder(nn.Module):
    """Waveforms to latents and back, deterministically and for sounds of any length."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.sample_rate, self.hop_length = config.sample_rate, config.samples_per_latent
        self.latent_dim = config.latent_dim
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.latent_scale = LatentScale(config.latent_dim)

    @classmethod
    def from_pretrained(cls, name_or_path: Model = "default", device: str | torch.device = "cpu") -> Autoencoder:
        """The autoencoder of a model (name or folder), in evaluation mode; ClapgenError if it cannot be read."""
        device = choose_device(device)
        return load_module(open_model(name_or_path), "autoencoder", AutoencoderConfig, cls).to(device)

    @torch.no_grad()
    def start_from_principal_components(self, waveforms: Tensor) -> None:
        """Initialise the linear paths with the principal components of the log-mels of waveforms `(batch, samples)`."""
        patches = self.encoder.fine_patches(waveforms).flatten(0, 1).cpu().double()  # Apple's GPUs have no float64
        mean = patches.mean(0)
        variances, directions = torch.linalg.eigh((patches - mean).T.cov())
        deviations = variances[-self.latent_dim :].flip(0).clamp(min=1e-4).sqrt()
        directions = directions[:, -self.latent_dim :].flip(1)
        project, unproject = self.encoder.project, self.decoder.unproject
        project.weight.copy_((directions / deviations).T)
        project.bias.copy_(-project.weight.cpu().double() @ mean)
        unproject.weight.copy_(directions * deviations)
        unproject.bias.copy_(mean)

    @torch.no_grad()
    def latent_importance(self) -> Tensor:
        """Effect of each latent channel on the decoder's envelope, per standard deviation: `(latent_dim,)`, mean 1."""
        moved = self.decoder.unproject.weight.norm(dim=0) * self.latent_scale.std
        return moved / moved.mean()

    def frames_for(self, seconds: float) -> int:
        """Number of latent frames that cover `seconds`, at least 1."""
        frame_rate = self.sample_rate / self.hop_length
        return max(1, math.ceil(seconds * frame_rate - 1e-6))

    def encode(self, waveform: Tensor) -> Tensor:
        """Latents of sounds at `sample_rate`.

        Args:
            waveform: `(batch, samples)`, any length; padded with zeros to a multiple of `hop_length`.

        Returns: posterior means, `(batch, latent_dim, frames)`, each channel of about unit variance.
        """
        frames = max(1, math.ceil(waveform.shape[-1] / self.hop_length))
        waveform = F.pad(waveform, (0, frames * self.hop_length - waveform.shape[-1]))

        def encode(start: int, end: int) -> Tensor:
            return self.encoder(waveform[:, start * self.hop_length : end * self.hop_length])[0]

        with inference(self, gradients=True):
            return self.latent_scale.normalise(_in_chunks(encode, frames, self.encoder.context())).transpose(1, 2)

    def decode(self, latents: Tensor, noise_seeds: Sequence[int]) -> Tensor:
        """Waveforms `(batch, frames * hop_length)`, about within [-1, 1], of latents `(batch, latent_dim, frames)`.

        Args:
            noise_seeds: one for each row, 0 or more. Textures such as rain are filtered noise: sounds with the same
                seed are nearly the same waveform where they have the same texture.
        """
        if len(noise_seeds) != len(latents):
            raise ValueError(f"{len(noise_seeds)} noise seeds were given for {len(latents)} sounds; give one each")
        with inference(self, gradients=True):
            return self._decode(latents, noise_seeds)

    def _decode(self, latents: Tensor, noise_seeds: Sequence[int]) -> Tensor:
        latents = self.latent_scale.restore(latents.transpose(1, 2))
        decoder, ratio = self.decoder, self.config.frames_per_latent

        def predict(start: int, end: int) -> Tensor:
            return decoder.predict(latents[:, start:end]).unflatten(1, (end - start, ratio))

        spectra = _in_chunks(predict, latents.shape[1], decoder.context()).flatten(1, 2)
        tone_phase = decoder.tone_phase(spectra)

        def synthesise(start: int, end: int) -> Tensor:
            samples = (end - start) * self.hop_length + self.config.n_fft - self.config.hop_length
            drawn = np.stack([noise_stream(seed, start * self.hop_length, samples) for seed in noise_seeds])
            noise = torch.from_numpy(drawn).to(spectra)
            frames = slice(start * ratio, end * ratio)
            waveform = decoder.synthesise(spectra[:, frames], tone_phase[:, frames], noise[None])[0]
            return waveform.unflatten(1, (end - start, self.hop_length))

        return _in_chunks(synthesise, latents.shape[1], decoder.synthesis_context()).flatten(1)

    def reconstruct(self, waveform: Tensor) -> Tensor:
        """Encode and decode `(batch, samples)`; the result has the same shape. Each sound has noise of its own."""
        seeds = [seed_of_waveform(row) for row in waveform]
        return self.decode(self.encode(waveform), seeds)[:, : waveform.shape[-1]]


def _in_chunks(process: Callable[[int, int], Tensor], frames: int, context: int) -> Tensor:
    """`process(start, end)` over latent frames, `(batch, end - start, …)`, in overlapping pieces without seams."""
    pieces = []
    for start in range(0, frames, CHUNK_LATENTS):
        end = min(start + CHUNK_LATENTS, frames)
        before = max(0, start - context)
        piece = process(before, min(frames, end + context))
        pieces.append(piece[:, start - before : end - before])
    return torch.cat(pieces, dim=1)
