"""Discriminators that look at complex spectrograms of several resolutions (after EnCodec, arXiv:2210.13438)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


class SpectrogramDiscriminator(nn.Module):
    """Scores patches of one compressed complex STFT: `(batch, samples)` -> scores and hidden layers."""

    window: Tensor

    def __init__(self, n_fft: int, channels: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        # (time, frequency) kernels; frequency, the longer axis, is reduced first and most
        self.layers = nn.ModuleList(
            [
                weight_norm(nn.Conv2d(2, channels, (3, 8), stride=(1, 4), padding=(1, 2))),
                weight_norm(nn.Conv2d(channels, 2 * channels, (3, 5), stride=(1, 2), padding=(1, 2))),
                weight_norm(nn.Conv2d(2 * channels, 2 * channels, (3, 5), stride=(2, 2), padding=(1, 2))),
                weight_norm(nn.Conv2d(2 * channels, 2 * channels, 3, padding=1)),
            ]
        )
        self.score = weight_norm(nn.Conv2d(2 * channels, 1, 3, padding=1))

    def forward(self, waveform: Tensor) -> tuple[Tensor, list[Tensor]]:
        hidden = self._compressed_spectrum(waveform)
        layers = []
        for layer in self.layers:
            hidden = F.leaky_relu(layer(hidden), 0.2)
            layers.append(hidden)
        return self.score(hidden), layers

    def _compressed_spectrum(self, waveform: Tensor) -> Tensor:
        """`(batch, 2, frames, bins)`: magnitudes to the power of 0.3, so that quiet treble counts next to loud bass."""
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = torch.stft(
                waveform.float(), self.n_fft, self.n_fft // 4, window=self.window, return_complex=True
            )
            spectrum = torch.view_as_real(spectrum / self.window.sum())
            power = spectrum.square().sum(-1, keepdim=True) + 1e-9
            return (spectrum * power**-0.35).permute(0, 3, 2, 1).contiguous(memory_format=torch.channels_last)


class Discriminators(nn.Module):
    """One `SpectrogramDiscriminator` per window length: `(batch, samples)` -> lists of scores and hidden layers."""

    def __init__(self, windows: list[int], channels: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(SpectrogramDiscriminator(n_fft, channels) for n_fft in windows)

    def forward(self, waveform: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
        outputs = [member(waveform) for member in self.members]
        return [scores for scores, _ in outputs], [layers for _, layers in outputs]
