"""Operations on waveforms in memory: scale, resample, mix to mono, normalise."""

from __future__ import annotations

from typing import Any

import numpy as np
import soxr

from clapgen.errors import ClapgenError


def as_float(waveform: Any) -> np.ndarray:
    """Samples of any usual type as float32 in [-1, 1]: integers are divided by their full scale, floats are kept.

    Raises:
        ClapgenError: a type whose full scale is unknown, such as int64 or bool.
    """
    samples = np.asarray(waveform)
    if samples.dtype.kind == "f":
        return samples.astype(np.float32, copy=False)
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype in (np.int8, np.int16, np.int32):
        return samples.astype(np.float32) / np.float32(2.0 ** (8 * samples.dtype.itemsize - 1))
    raise ClapgenError(
        f"a waveform must hold float, int32, int16, int8 or uint8 samples, not {samples.dtype}; convert it to float32 "
        "in [-1, 1]."
    )


def resample(waveform: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample `(..., samples)` along the last axis with soxr's high quality; returns float32.

    Raises:
        ClapgenError: a rate is not positive.
    """
    if min(from_rate, to_rate) <= 0:
        raise ClapgenError(f"cannot resample from {from_rate} Hz to {to_rate} Hz; sample rates must be positive.")
    waveform = as_float(waveform)
    if from_rate == to_rate:
        return waveform
    flat = waveform.reshape(-1, waveform.shape[-1])
    resampled = [soxr.resample(np.ascontiguousarray(channel), from_rate, to_rate, quality="HQ") for channel in flat]
    return np.stack(resampled).reshape(*waveform.shape[:-1], -1)


def to_mono(waveform: np.ndarray) -> np.ndarray:
    """Average the channels of `(channels, samples)`; returns `(samples,)` unchanged."""
    return waveform if waveform.ndim == 1 else waveform.mean(axis=0, dtype=np.float32)


def peak_normalise(waveform: np.ndarray, dbfs: float = -1.0) -> np.ndarray:
    """Scale a waveform to a peak of `dbfs` decibels relative to full scale; silence stays silent."""
    peak = float(np.abs(waveform).max(initial=0.0))
    if peak < 1e-8:
        return waveform
    return (waveform * (10 ** (dbfs / 20) / peak)).astype(np.float32)
