"""Log-mel spectrogram as a differentiable torch layer that matches librosa within rounding."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clapgen.errors import ClapgenError


class LogMel(nn.Module):
    """Power mel spectrogram in dB: `(batch, samples)` -> `(batch, n_mels, 1 + samples // hop_length)`.

    Hann window of `n_fft`, frames centred on multiples of `hop_length` with reflected edges, Slaney's mel scale with
    area-normalised triangles; `10 * log10(max(power, amin))`. Computed in float32 even under autocast and in
    half-precision models, because squared magnitudes exceed the range of half precision.

    Args:
        sample_rate: of the waveforms, in Hz.
        n_fft, hop_length: window and hop, in samples.
        f_min, f_max: range of the mel bands in Hz; `f_max=None` is half the sample rate.
        amin: smallest power; 1e-10 is -100 dB.

    Raises:
        ClapgenError: a waveform is shorter than half a window (`n_fft // 2 + 1` samples).
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self,
        sample_rate: int,
        n_fft: int,
        hop_length: int,
        n_mels: int,
        f_min: float = 0.0,
        f_max: float | None = None,
        amin: float = 1e-10,
    ) -> None:
        super().__init__()
        self.sample_rate, self.n_fft, self.hop_length, self.n_mels = sample_rate, n_fft, hop_length, n_mels
        self.f_min, self.f_max, self.amin = f_min, f_max or sample_rate / 2, amin
        self.register_buffer("window", torch.hann_window(n_fft, dtype=torch.float64).float(), persistent=False)
        filters = torch.from_numpy(mel_filters(sample_rate, n_fft, n_mels, f_min, self.f_max)).float()
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        if waveform.shape[-1] <= self.n_fft // 2:
            shortest = self.n_fft // 2 + 1
            raise ClapgenError(f"a sound of {waveform.shape[-1]} samples is too short; pad it to at least {shortest}.")
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = torch.stft(
                waveform.float(),
                self.n_fft,
                self.hop_length,
                window=self.window,
                center=True,
                pad_mode="reflect",
                return_complex=True,
            )
            power = spectrum.real.square() + spectrum.imag.square()  # (batch, bins, frames); abs() has no gradient at 0
            mel = self.filters @ power  # (batch, n_mels, frames)
            return 10.0 * torch.log10(mel.clamp(min=self.amin))

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "LogMel":
        """Move the buffers to the model's device, but keep them float32."""
        window, filters = self.window, self.filters
        super()._apply(fn, recurse)
        self.window, self.filters = window.to(self.window.device), filters.to(self.filters.device)
        return self


def mel_filters(sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float) -> np.ndarray:
    """Triangular filters `(n_mels, 1 + n_fft // 2)`, float64, each with unit area in Hz (Slaney's Auditory Toolbox)."""
    frequencies = np.linspace(0, sample_rate / 2, 1 + n_fft // 2)
    edges = mel_to_hz(np.linspace(hz_to_mel(f_min), hz_to_mel(f_max), n_mels + 2))
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (frequencies - lower) / (centre - lower), (upper - frequencies) / (upper - centre)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (upper - lower)


# Slaney's scale: 3 mels per 200 Hz up to 1 kHz (15 mels), above that 27 mels per factor of 6.4.


def hz_to_mel(frequency: float | np.ndarray) -> np.ndarray:
    """Convert frequencies in Hz to mels (Slaney)."""
    hz = np.asarray(frequency, dtype=np.float64)
    return np.where(hz < 1000, 3 * hz / 200, 15 + 27 * np.log(np.maximum(hz, 1000) / 1000) / np.log(6.4))


def mel_to_hz(mel: float | np.ndarray) -> np.ndarray:
    """Convert mels (Slaney) to frequencies in Hz."""
    mels = np.asarray(mel, dtype=np.float64)
    return np.where(mels < 15, 200 * mels / 3, 1000 * np.exp((mels - 15) * np.log(6.4) / 27))
