"""The encoder: log-mel spectrograms to a Gaussian posterior, a linear projection with a ConvNeXt correction."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clapgen.audio.mel import LogMel
from generation.autoencoder.config import AutoencoderConfig
from generation.autoencoder.convnext import convnext_blocks

POWER_FLOOR = 1e-7  # mel power of white noise at about -80 dBFS; anything below is ignored
SCALE_OFFSET_DB, SCALE_DB = 20.0, 25.0  # fixed, not per clip: loudness is part of the sound


class Encoder(nn.Module):
    """Waveform `(batch, latent_frames * samples_per_latent)` -> posterior mean and log-variance, each
    `(batch, latent_frames, latent_dim)`.

    The input is two log-mels: one with several columns per frame, for the timing of attacks, and one with a long window
    and many bands, which resolves partials. The latter also reaches the mean through a linear projection, initialised
    with its principal components: without it, the first thousands of steps learn little more than the envelope.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        rate, quick_hop = config.sample_rate, config.hop_length // config.mels_per_frame
        self.quick_log_mel = LogMel(rate, config.mel_n_fft, quick_hop, config.n_mels, amin=POWER_FLOOR)
        self.fine_log_mel = LogMel(rate, config.fine_n_fft, config.hop_length, config.fine_mels, amin=POWER_FLOOR)
        self.project = nn.Linear(config.fine_mels * config.frames_per_latent, config.latent_dim)
        self.embed = nn.Linear(config.n_mels * config.mels_per_frame + config.fine_mels, config.encoder_width)
        self.fast = convnext_blocks(config, config.encoder_width, config.encoder_depth)
        self.downsample = nn.Linear(config.encoder_width * config.frames_per_latent, config.encoder_slow_width)
        self.slow = convnext_blocks(config, config.encoder_slow_width, config.encoder_slow_depth)
        self.norm = nn.LayerNorm(config.encoder_slow_width)
        self.posterior = nn.Linear(config.encoder_slow_width, 2 * config.latent_dim)
        with torch.no_grad():  # start as the projection plus a little noise
            self.posterior.weight[: config.latent_dim] = 0
            self.posterior.bias[: config.latent_dim] = 0
            self.posterior.bias[config.latent_dim :] -= 4

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        fine = _columns(self.fine_log_mel, waveform)
        quick = _columns(self.quick_log_mel, waveform).reshape(*fine.shape[:2], -1)
        hidden = self.fast(self.embed(torch.cat([quick, fine], dim=2)))
        hidden = self.downsample(hidden.unflatten(1, (-1, self.config.frames_per_latent)).flatten(2))
        mean, log_variance = self.posterior(self.norm(self.slow(hidden))).float().chunk(2, dim=-1)
        return mean + self.project(self._patches(fine)).float(), log_variance.clamp(-12, 4)

    def fine_patches(self, waveform: Tensor) -> Tensor:
        """The input of `project`: `(batch, latent_frames, frames_per_latent * fine_mels)`."""
        return self._patches(_columns(self.fine_log_mel, waveform))

    def _patches(self, columns: Tensor) -> Tensor:
        return columns.unflatten(1, (-1, self.config.frames_per_latent)).flatten(2)

    def context(self) -> int:
        """Number of latent frames on each side that one latent frame depends on."""
        config = self.config
        radius = config.kernel_size // 2
        samples = max(config.mel_n_fft, config.fine_n_fft) // 2 + config.hop_length
        samples += radius * config.encoder_depth * config.hop_length
        return math.ceil(samples / config.samples_per_latent) + radius * config.encoder_slow_depth


def _columns(log_mel: LogMel, waveform: Tensor) -> Tensor:
    """Scaled log-mel `(batch, samples / hop, n_mels)`, each column centred on its hop instead of its start."""
    columns = log_mel(F.pad(waveform, (log_mel.hop_length // 2, 0)))[:, :, 1:].transpose(1, 2)
    return (columns + SCALE_OFFSET_DB) / SCALE_DB
