"""The encoder: two log-mel spectrograms, one quick and one fine, through ConvNeXt blocks to a Gaussian posterior."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clapgen.mel import LogMel
from generation.autoencoder.config import AutoencoderConfig
from generation.autoencoder.convnext import convnext_blocks


class Encoder(nn.Module):
    """Waveform `(batch, latent_frames * samples_per_latent)` -> posterior mean and log-variance, each
    `(batch, latent_frames, latent_dim)`."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        mel_hop = config.hop_length // config.mels_per_frame
        # power 1e-7 is white noise at about -80 dBFS: what is below is not heard and not worth describing
        self.log_mel = LogMel(config.sample_rate, config.mel_n_fft, mel_hop, config.n_mels, amin=1e-7)
        self.fine_log_mel = LogMel(
            config.sample_rate, config.fine_n_fft, config.hop_length, config.fine_mels, amin=1e-7
        )
        self.embed = nn.Linear(config.n_mels * config.mels_per_frame + config.fine_mels, config.encoder_width)
        self.fast = convnext_blocks(config, config.encoder_width, config.encoder_depth)
        self.downsample = nn.Linear(config.encoder_width * config.frames_per_latent, config.encoder_slow_width)
        self.slow = convnext_blocks(config, config.encoder_slow_width, config.encoder_slow_depth)
        self.norm = nn.LayerNorm(config.encoder_slow_width)
        self.posterior = nn.Linear(config.encoder_slow_width, 2 * config.latent_dim)

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        batch, frames = len(waveform), waveform.shape[1] // self.config.hop_length
        columns = [_columns(layer, waveform).reshape(batch, frames, -1) for layer in (self.log_mel, self.fine_log_mel)]
        hidden = self.fast(
            self.embed((torch.cat(columns, dim=2) + 20) / 25)
        )  # a fixed scale: loudness is part of sound
        hidden = self.downsample(hidden.reshape(batch, frames // self.config.frames_per_latent, -1))
        mean, log_variance = self.posterior(self.norm(self.slow(hidden))).float().chunk(2, dim=-1)
        return mean, log_variance.clamp(-12, 4)

    def context(self) -> int:
        """Latent frames to each side that one latent frame depends on."""
        config = self.config
        radius = config.kernel_size // 2
        samples = (
            max(config.mel_n_fft, config.fine_n_fft) // 2
            + config.hop_length
            + radius * config.encoder_depth * config.hop_length
        )
        return -(-samples // config.samples_per_latent) + radius * config.encoder_slow_depth


def _columns(log_mel: LogMel, waveform: Tensor) -> Tensor:
    """Log-mel columns `(batch, samples / hop, n_mels)`, each centred within its hop rather than at its start."""
    return log_mel(F.pad(waveform, (log_mel.hop_length // 2, 0)))[:, :, 1:].transpose(1, 2)
