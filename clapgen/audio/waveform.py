"""Operations on waveforms in memory: scale, resample, mix to mono, normalise."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import soxr

from clapgen.errors import ClapgenError

LARGEST_SAMPLE = 1e10  # more than 32-bit integers taken for floats; the power of louder sounds is beyond float32
FILTER_SAMPLES = 128  # reach of soxr's filter at the lower rate


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


def mono_samples(waveform: Any) -> np.ndarray:
    """One mono waveform, as an array or a tensor on any device, as `(samples,)` float32.

    Raises:
        ClapgenError: it is a path, is not mono, is empty, or has samples that are not finite or absurdly large.
    """
    if isinstance(waveform, (str, bytes, os.PathLike)):
        raise ClapgenError(f"a waveform is expected, not the path {waveform!s}; read it with clapgen.read_audio")
    samples = as_float(waveform.detach().cpu() if hasattr(waveform, "detach") else waveform)
    if samples.ndim == 2 and min(samples.shape) <= 8:
        raise ClapgenError(f"a waveform must be mono, not of shape {samples.shape}; use clapgen.audio.to_mono")
    if samples.ndim != 1 or samples.size == 0:
        raise ClapgenError(f"a waveform must be mono and not empty, of shape (samples,), not {samples.shape}")
    refuse_impossible_samples(samples, "a waveform")
    return samples


def list_of_waveforms(waveforms: Any) -> list[Any]:
    """The waveforms one by one. ClapgenError if it is a single waveform or path, which would be taken for many."""
    if isinstance(waveforms, (str, bytes, os.PathLike)) or getattr(waveforms, "ndim", 2) == 1:
        raise ClapgenError("a list of waveforms is expected, each of shape (samples,); put a single one in a list")
    return list(waveforms)


def refuse_impossible_samples(samples: np.ndarray, name: str) -> None:
    """Raise ClapgenError for samples that are NaN or infinite, or so large that a model would give NaN for them."""
    peak = max(float(samples.max(initial=0.0)), -float(samples.min(initial=0.0)))
    if not math.isfinite(peak):
        raise ClapgenError(f"{name} contains NaN or infinite samples; repair or remove it.")
    if peak > LARGEST_SAMPLE:
        raise ClapgenError(f"{name} contains samples of up to {peak:.2g}, where full scale is 1; repair or rescale it.")


def edge_lengths(from_rate: int, to_rate: int) -> tuple[int, int]:
    """How many copies of the first and of the last sample surround a sound while it is resampled, at either rate.

    Without them the filter takes it that silence lies there, and a constant offset rises and falls at the edges.
    """
    unit = from_rate // math.gcd(from_rate, to_rate)
    count = unit * math.ceil(FILTER_SAMPLES * max(1.0, from_rate / to_rate) / unit)
    return count, count * to_rate // from_rate


def resample(waveform: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample `(..., samples)` along the last axis with soxr's high quality; returns float32.

    Raises:
        ClapgenError: a rate is not positive.
    """
    if min(from_rate, to_rate) <= 0:
        raise ClapgenError(f"cannot resample from {from_rate} Hz to {to_rate} Hz; sample rates must be positive.")
    waveform = as_float(waveform)
    if from_rate == to_rate or waveform.shape[-1] == 0:
        return waveform
    edge, cut = edge_lengths(from_rate, to_rate)
    resampled = [
        soxr.resample(np.pad(channel, edge, mode="edge"), from_rate, to_rate, quality="HQ")[cut:-cut]
        for channel in waveform.reshape(-1, waveform.shape[-1])
    ]
    return np.stack(resampled).reshape(*waveform.shape[:-1], -1)


def mono_samples_at(waveform: Any, from_rate: int, to_rate: int) -> np.ndarray:
    """One mono waveform as by `mono_samples`, resampled.

    Raises:
        ClapgenError: as `mono_samples` and `resample`; nothing is left of it at the new rate.
    """
    samples = resample(mono_samples(waveform), from_rate, to_rate)
    if not samples.size:
        raise ClapgenError(f"a waveform is too short: resampled to {to_rate} Hz it is empty")
    return samples


def to_mono(waveform: np.ndarray) -> np.ndarray:
    """Average the channels of `(channels, samples)`; returns `(samples,)` unchanged."""
    return waveform if waveform.ndim == 1 else waveform.mean(axis=0, dtype=np.float32)


def peak_normalise(waveform: np.ndarray, dbfs: float = -1.0) -> np.ndarray:
    """Scale a waveform to a peak of `dbfs` decibels relative to full scale; silence stays silent."""
    peak = float(np.abs(waveform).max(initial=0.0))
    if peak < 1e-8:
        return waveform
    return (waveform * (10 ** (dbfs / 20) / peak)).astype(np.float32)
