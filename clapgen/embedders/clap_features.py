"""The log-mel inputs of LAION's CLAP, as transformers' ClapFeatureExtractor computes them but batched and fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from clapgen.audio.windows import repeat_pad
from clapgen.errors import ClapgenError

SMALLEST_POWER = 1e-10  # -100 dB
CHUNKS = 3  # crops of a fused input: one of the front, one of the middle, one of the back

Array = npt.NDArray[np.float32]


class ClapFeatures:
    """Waveforms to log-mels in dB, with the numbers of a checkpoint's own `ClapFeatureExtractor`.

    An unfused checkpoint has Slaney's mel filters with equal areas, a fused one HTK's with equal peaks. Transforms are
    computed in float64, as the original's are: next to a loud tone, float32 would be wrong by several dB.

    Args:
        extractor: transformers' ClapFeatureExtractor of the checkpoint.
        device: where to compute; in float32 on Apple's GPUs, which have no float64.
    """

    def __init__(self, extractor: Any, device: torch.device) -> None:
        self.extractor = extractor
        self.fused = extractor.truncation == "fusion"
        self.padding, self.hop, self.n_fft = extractor.padding, extractor.hop_length, extractor.fft_window_size
        if self.padding not in ("repeatpad", "repeat", "pad"):
            raise ClapgenError(f"its preprocessor_config.json has the unknown padding '{self.padding}'.")
        self.window = round(extractor.max_length_s * extractor.sampling_rate)
        self.frames = self.window // self.hop + 1
        filters = extractor.mel_filters if self.fused else extractor.mel_filters_slaney  # (bins, mels)
        self._device = device
        self._dtype = torch.float32 if device.type == "mps" else torch.float64
        self._filters = torch.from_numpy(np.ascontiguousarray(filters.T)).to(device, self._dtype)
        self._hann = torch.hann_window(self.n_fft, dtype=self._dtype, device=device)

    def of_windows(self, windows: Sequence[Array]) -> Tensor:
        """Inputs (n, 1, frames, mels), or of a fused checkpoint (n, 4, frames, mels), of windows (samples,).

        None may be longer than `window`; shorter ones are repeated, or padded with zeros, as the checkpoint says.
        """
        log_mels = self.log_mels(torch.stack([self._filled(window) for window in windows]))
        return log_mels[:, None].expand(-1, CHUNKS + 1 if self.fused else 1, -1, -1)

    def of_whole(self, waveform: Array) -> tuple[Tensor, bool]:
        """The input (1, 4, frames, mels) of a whole waveform (samples,), and whether it is longer than a window.

        As in LAION's "fusion" (Wu et al. 2023): the log-mel of the whole shrunk to the length of a window, and crops of
        its front, middle and back. LAION draws the places of the crops at random; here each is the middle one of its
        third.
        """
        if len(waveform) <= self.window:
            return self.of_windows([waveform]), False
        log_mel = self.log_mels(torch.from_numpy(waveform)[None])[0]  # (all frames, mels)
        if len(log_mel) == self.frames:
            return log_mel[None, None].expand(-1, CHUNKS + 1, -1, -1), False
        thirds = np.array_split(np.arange(len(log_mel) - self.frames + 1), CHUNKS)
        starts = [int(third[len(third) // 2]) if len(third) else 0 for third in thirds]
        size = (self.frames, log_mel.shape[-1])
        shrunk = F.interpolate(log_mel[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
        crops = [log_mel[start : start + self.frames] for start in starts]
        return torch.stack([shrunk, *crops])[None], True

    def log_mels(self, waveforms: Tensor) -> Tensor:
        """Log-mels (batch, 1 + samples // hop, mels) in dB, float32, of waveforms (batch, samples)."""
        spectrum = torch.stft(
            waveforms.to(self._device, self._dtype),
            self.n_fft,
            self.hop,
            window=self._hann,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()  # (batch, bins, frames)
        mels = (self._filters @ power).clamp(min=SMALLEST_POWER)
        return (10.0 * torch.log10(mels)).float().transpose(1, 2)

    def _filled(self, window: Array) -> Tensor:
        samples = torch.from_numpy(np.ascontiguousarray(window))
        missing = self.window - len(samples)
        if missing <= 0:
            return samples
        if self.padding == "repeatpad":
            return repeat_pad(samples, self.window)
        if self.padding == "repeat":
            return samples.repeat(-(-self.window // len(samples)))[: self.window]
        return F.pad(samples, (0, missing))
