"""How loud a sound is to the ear: its A-weighted level (IEC 61672), not counting silence."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Waveform = NDArray[np.float32]

_FRAME = 0.02  # seconds over which power is measured
_ACTIVE = 1e-3  # frames above this share of the loudest frame's power (−30 dB) count
SILENT_DB = -120.0


def a_weighted_level(waveform: Waveform, sample_rate: int) -> float:
    """Mean level in dB of the frames of a waveform (samples,) that are not silent, A-weighted.

    A sine of 1 kHz with an amplitude of 1 has −3 dB. `-inf` for silence.
    """
    size = 1 << max(0, len(waveform) - 1).bit_length()
    spectrum = np.fft.rfft(waveform.astype(np.float64), size) * a_weighting(np.fft.rfftfreq(size, 1 / sample_rate))
    weighted = np.fft.irfft(spectrum, size)[: len(waveform)]
    frame = max(1, round(_FRAME * sample_rate))
    squares = np.square(np.pad(weighted, (0, -len(weighted) % frame))).reshape(-1, frame)
    lengths = np.full(len(squares), frame)
    lengths[-1:] = len(waveform) - frame * (len(squares) - 1)
    power = squares.sum(1) / lengths
    loudest = power.max(initial=0.0)
    if loudest <= 10 ** (SILENT_DB / 10):
        return -math.inf
    active = power >= _ACTIVE * loudest
    return 10 * math.log10(float(squares[active].sum() / lengths[active].sum()))


def a_weighting(frequencies: NDArray[np.floating]) -> NDArray[np.float64]:
    """The gain of the A-weighting at frequencies in Hz; 1 at 1 kHz."""
    f2 = np.square(frequencies)
    response = 12194.0**2 * f2**2 / ((f2 + 20.6**2) * np.sqrt((f2 + 107.7**2) * (f2 + 737.9**2)) * (f2 + 12194.0**2))
    return np.asarray(response * 10 ** (2.0 / 20))
