"""The autoencoder: a log-mel ConvNeXt encoder and a ConvNeXt decoder that ends in an inverse STFT.

One network in place of the usual pair of spectrogram autoencoder and vocoder, after Vocos (Siuzdak 2023,
arXiv:2306.00814): the decoder predicts a complex spectrum frame by frame, so no layer runs at the sample rate. Beside
the spectrum of what can be predicted stands the magnitude of filtered white noise for what cannot (rain, wind, breath).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clapgen.mel import LogMel
from clapgen.model_store import load_module, resolve_model
from generation.autoencoder.config import AutoencoderConfig

CHUNK_LATENTS = 512  # about 20 s: longer sounds are cut, with overlap, to bound memory
NOISE_BLOCK = 1 << 16


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution, norm, two linear layers, residual: `(batch, frames, width)` -> the same.

    ConvNeXt (Liu et al. 2022, arXiv:2201.03545) in one dimension, with the channels last.
    """

    def __init__(self, width: int, expansion: int, kernel_size: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Parameter(torch.randn(kernel_size, width) * kernel_size**-0.5)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, expansion * width)
        self.contract = nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, frames: Tensor) -> Tensor:
        kernel_size, length = len(self.depthwise), frames.shape[1]
        kernel = self.depthwise.to(frames.dtype)
        padded = F.pad(frames, (0, 0, kernel_size // 2, kernel_size // 2))
        # shifted products: on a CPU nearly twice as fast as a grouped Conv1d
        mixed = padded[:, :length] * kernel[0]
        for shift in range(1, kernel_size):
            mixed = mixed + padded[:, shift : shift + length] * kernel[shift]
        mixed = self.contract(F.gelu(self.expand(self.norm(mixed))))
        return frames + mixed * self.scale.to(mixed.dtype)


def _blocks(config: AutoencoderConfig, width: int, depth: int) -> nn.Sequential:
    blocks = [ConvNeXtBlock(width, config.expansion, config.kernel_size, scale=1 / depth) for _ in range(depth)]
    return nn.Sequential(*blocks)


class Encoder(nn.Module):
    """Waveform `(batch, latent_frames * samples_per_latent)` -> posterior mean and log-variance, each
    `(batch, latent_frames, latent_dim)`."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        mel_hop = config.hop_length // config.mels_per_frame
        # power 1e-7 is white noise at about -80 dBFS: what is below is not heard and not worth describing
        self.log_mel = LogMel(config.sample_rate, config.mel_n_fft, mel_hop, config.n_mels, amin=1e-7)
        self.embed = nn.Linear(config.n_mels * config.mels_per_frame, config.encoder_width)
        self.fast = _blocks(config, config.encoder_width, config.encoder_depth)
        self.downsample = nn.Linear(config.encoder_width * config.frames_per_latent, config.encoder_slow_width)
        self.slow = _blocks(config, config.encoder_slow_width, config.encoder_slow_depth)
        self.norm = nn.LayerNorm(config.encoder_slow_width)
        self.posterior = nn.Linear(config.encoder_slow_width, 2 * config.latent_dim)

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        batch, frames = len(waveform), waveform.shape[1] // self.config.hop_length
        # half a hop to the left and without the first column, columns are centred within their frames
        log_mel = self.log_mel(F.pad(waveform, (self.log_mel.hop_length // 2, 0)))[:, :, 1:]
        log_mel = (log_mel.transpose(1, 2) + 20) / 25  # a fixed scale: loudness is part of the sound
        hidden = self.fast(self.embed(log_mel.reshape(batch, frames, -1)))
        hidden = self.downsample(hidden.reshape(batch, frames // self.config.frames_per_latent, -1))
        mean, log_variance = self.posterior(self.norm(self.slow(hidden))).float().chunk(2, dim=-1)
        return mean, log_variance.clamp(-12, 4)

    def context(self) -> int:
        """Latent frames to each side that one latent frame depends on."""
        config = self.config
        radius = config.kernel_size // 2
        samples = config.mel_n_fft // 2 + self.log_mel.hop_length + radius * config.encoder_depth * config.hop_length
        return -(-samples // config.samples_per_latent) + radius * config.encoder_slow_depth


class Decoder(nn.Module):
    """Latents `(batch, latent_frames, latent_dim)` and white noise -> waveform.

    `forward` takes several draws of noise, `(draws, batch or 1, samples + n_fft - hop_length)`, and gives as many
    waveforms, `(draws, batch, samples)` with samples = latent_frames * samples_per_latent; all but the last step is
    done once for all draws.
    """

    window: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.bins = config.n_fft // 2 + 1
        self.embed = nn.Linear(config.latent_dim, config.decoder_slow_width)
        self.slow = _blocks(config, config.decoder_slow_width, config.decoder_slow_depth)
        self.upsample = nn.Linear(config.decoder_slow_width, config.decoder_width * config.frames_per_latent)
        self.fast = _blocks(config, config.decoder_width, config.decoder_depth)
        self.norm = nn.LayerNorm(config.decoder_width)
        self.head = nn.Linear(config.decoder_width, 3 * self.bins)
        with torch.no_grad():  # start quiet, with the noise below the rest
            self.head.bias[: self.bins] -= 2
            self.head.bias[2 * self.bins :] -= 4
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)

    def forward(self, latents: Tensor, noise: Tensor) -> Tensor:
        batch, latent_frames, _ = latents.shape
        hidden = self.upsample(self.slow(self.embed(latents)))
        hidden = hidden.view(batch, latent_frames * self.config.frames_per_latent, self.config.decoder_width)
        head = self.head(self.norm(self.fast(hidden)))
        with torch.autocast(latents.device.type, enabled=False):
            log_magnitude, phase, log_noise = head.float().split(self.bins, dim=-1)
            spectrum = torch.polar(log_magnitude.clamp(max=6.5).exp(), phase)  # e^6.5: a full-scale sine fits twice
            filtered = log_noise.clamp(max=4.0).exp() * self._noise_spectrum(noise)
            return self._overlap_add(spectrum + filtered)

    def _noise_spectrum(self, noise: Tensor) -> Tensor:
        frames = noise.unfold(-1, self.config.n_fft, self.config.hop_length) * self.window
        return torch.fft.rfft(frames) / self.window.square().sum().sqrt()

    def _overlap_add(self, spectrum: Tensor) -> Tensor:
        """Inverse STFT of `(..., frames, bins)`; frame i is centred within samples i * hop to (i + 1) * hop."""
        hop, n_fft = self.config.hop_length, self.config.n_fft
        pieces = torch.fft.irfft(spectrum, n=n_fft) * self.window
        weight = self.window.square().expand(1, spectrum.shape[-2], n_fft)
        margin = (n_fft - hop) // 2
        return (_sum_shifted(pieces, hop) / _sum_shifted(weight, hop).clamp(min=1e-6))[..., margin:-margin]

    def context(self) -> int:
        """Latent frames to each side that one latent frame's samples depend on."""
        config = self.config
        radius = config.kernel_size // 2
        frames = config.n_fft // (2 * config.hop_length) + radius * config.decoder_depth
        return -(-frames // config.frames_per_latent) + radius * config.decoder_slow_depth


def _sum_shifted(pieces: Tensor, hop: int) -> Tensor:
    """Overlap-add `(…, frames, n_fft)` at steps of `hop`, a divisor of n_fft: `(…, (frames - 1) * hop + n_fft)`."""
    overlap = pieces.shape[-1] // hop
    columns = pieces.unflatten(-1, (overlap, hop)).unbind(-2)
    shifted = [F.pad(column, (0, 0, i, overlap - 1 - i)) for i, column in enumerate(columns)]
    return torch.stack(shifted).sum(0).flatten(-2)


class LatentScale(nn.Module):
    """Mean and deviation of each latent channel over the training clips, so that users see unit variance."""

    mean: Tensor
    std: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(latent_dim))
        self.register_buffer("std", torch.ones(latent_dim))

    def measure(self, latents: Tensor) -> None:
        """Take the statistics of posterior means `(batch, latent_frames, latent_dim)`."""
        self.mean.copy_(latents.mean((0, 1)))
        self.std.copy_(latents.std((0, 1)).clamp(min=0.1))  # a channel that says nothing is not blown up

    def normalise(self, latents: Tensor) -> Tensor:
        return (latents - self.mean) / self.std

    def restore(self, latents: Tensor) -> Tensor:
        return latents * self.std + self.mean


class Autoencoder(nn.Module):
    """Waveforms to latents and back; both ways deterministic, and the same for long sounds as for short ones."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.sample_rate, self.hop_length = config.sample_rate, config.samples_per_latent
        self.latent_dim = config.latent_dim
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.latent_scale = LatentScale(config.latent_dim)

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path = "default", device: str | torch.device = "cpu") -> Autoencoder:
        """The autoencoder of a model (name or folder), in evaluation mode; ClapgenError if it cannot be read."""
        return load_module(resolve_model(name_or_path), "autoencoder", AutoencoderConfig, cls).to(device)

    def encode(self, waveform: Tensor) -> Tensor:
        """Latents of sounds at `sample_rate`.

        Args:
            waveform: `(batch, samples)`, any length; silence is added up to a multiple of `hop_length`.

        Returns: posterior means, `(batch, latent_dim, frames)`, about unit variance a channel.
        """
        frames = max(1, -(-waveform.shape[-1] // self.hop_length))
        waveform = F.pad(waveform, (0, frames * self.hop_length - waveform.shape[-1]))

        def encode(start: int, end: int) -> Tensor:
            return self.encoder(waveform[:, start * self.hop_length : end * self.hop_length])[0]

        return self.latent_scale.normalise(_in_chunks(encode, frames, self.encoder.context())).transpose(1, 2)

    def decode(self, latents: Tensor) -> Tensor:
        """Sounds of latents `(batch, latent_dim, frames)`: `(batch, frames * hop_length)`, at about [-1, 1]."""
        latents = self.latent_scale.restore(latents.transpose(1, 2))
        margin = self.config.n_fft - self.config.hop_length

        def decode(start: int, end: int) -> Tensor:
            noise = white_noise(start * self.hop_length, (end - start) * self.hop_length + margin).to(latents)
            waveform = self.decoder(latents[:, start:end], noise[None, None])[0]
            return waveform.unflatten(1, (end - start, self.hop_length))

        return _in_chunks(decode, latents.shape[1], self.decoder.context()).flatten(1)

    def reconstruct(self, waveform: Tensor) -> Tensor:
        """`(batch, samples)` -> encoded and decoded, the same shape."""
        return self.decode(self.encode(waveform))[:, : waveform.shape[-1]]


def white_noise(start: int, length: int) -> Tensor:
    """Samples `start` to `start + length` of one fixed endless stream of Gaussian noise, `(length,)`."""
    first, last = start // NOISE_BLOCK, (start + length - 1) // NOISE_BLOCK
    blocks = [torch.randn(NOISE_BLOCK, generator=torch.Generator().manual_seed(i)) for i in range(first, last + 1)]
    return torch.cat(blocks)[start - first * NOISE_BLOCK :][:length]


def _in_chunks(process: Callable[[int, int], Tensor], frames: int, context: int) -> Tensor:
    """`process(start, end)` over latent frames, `(batch, end - start, …)`, in pieces whose overlap hides the cuts."""
    pieces = []
    for start in range(0, frames, CHUNK_LATENTS):
        end = min(start + CHUNK_LATENTS, frames)
        before = max(0, start - context)
        piece = process(before, min(frames, end + context))
        pieces.append(piece[:, start - before : end - before])
    return torch.cat(pieces, dim=1)
