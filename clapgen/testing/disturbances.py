"""Sounds as they come back from other programs: through a lossy codec, or with noise. For tests and benchmarks."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np

from clapgen.audio import resample

CODECS = {  # encoder, container, sample rate
    "mp3": ("libmp3lame", "mp3", 44100),
    "opus": ("libopus", "ogg", 48000),
    "aac": ("aac", "adts", 44100),
}


def encoded(waveform: np.ndarray, rate: int, codec: str, bit_rate: int = 64_000) -> tuple[bytes, int]:
    """A mono waveform as the bytes of a lossy file, and its sample rate."""
    name, container, file_rate = CODECS[codec]
    target = io.BytesIO()
    with av.open(target, "w", format=container) as file:
        stream: Any = file.add_stream(name, rate=file_rate, layout="mono")
        stream.bit_rate = bit_rate
        samples = np.ascontiguousarray(resample(waveform, rate, file_rate)[None].clip(-1, 1), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = file_rate
        frame.pts = 0
        resampler = av.AudioResampler(stream.format, "mono", file_rate, frame_size=stream.frame_size or 1152)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return target.getvalue(), file_rate


def with_noise(waveform: np.ndarray, decibels: float, seed: int = 0, pink: bool = False) -> np.ndarray:
    """The waveform with white or pink noise that is `decibels` below it."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(len(waveform)))
    noise = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)) if pink else spectrum, len(waveform))
    wanted = np.mean(waveform**2) * 10 ** (-decibels / 10)
    return (waveform + noise * np.sqrt(wanted / np.mean(noise**2))).astype(np.float32)
