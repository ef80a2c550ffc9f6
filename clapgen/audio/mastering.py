"""What a generated waveform goes through before it is written: no rumble, no clicks at its ends, a chosen level."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clapgen.errors import ClapgenError

Waveform = NDArray[np.float32]

HIGH_PASS_HZ = (12.0, 24.0)  # silent below the first, untouched above the second
FADE_IN_SECONDS, FADE_OUT_SECONDS = 0.003, 0.01
DEFAULT_PEAK = -1.0  # dBFS
LOUDNESS_RANGE = (-70.0, 0.0)  # LUFS
PEAK_RANGE = (-60.0, 0.0)  # dBFS
SILENCE = 1e-8


@dataclass(frozen=True)
class Level:
    """How loud a sound is written: one of a peak (dBFS), a loudness (LUFS, EBU R 128), or as the decoder made it.

    Without any of them it is a peak of -1 dBFS. `as_is` keeps the decoder's level; samples beyond full scale are scaled
    down to it.
    """

    peak: float | None = None
    loudness: float | None = None
    as_is: bool = False

    def __post_init__(self) -> None:
        if (self.peak is not None) + (self.loudness is not None) + self.as_is > 1:
            raise ClapgenError("choose one of a peak, a loudness, and the level as it is.")
        for name, value, (low, high), unit in (
            ("peak", self.peak, PEAK_RANGE, "dBFS"),
            ("loudness", self.loudness, LOUDNESS_RANGE, "LUFS"),
        ):
            if value is not None and not low <= value <= high:
                raise ClapgenError(f"{name} must be {low:g} to {high:g} {unit}, not {value:g}.")


def master(waveform: Waveform, sample_rate: int, level: Level | None = None) -> tuple[Waveform, float]:
    """Remove rumble below hearing, fade both ends, and set the level.

    Args:
        waveform: `(samples,)` float32.
        level: how loud; a peak of -1 dBFS if None.

    Returns:
        The waveform, and the gain in dB that was applied to the decoder's own level.
    """
    return at_level(fade(remove_rumble(waveform, sample_rate), sample_rate), sample_rate, level)


def at_level(waveform: Waveform, sample_rate: int, level: Level | None = None) -> tuple[Waveform, float]:
    """Set the level alone; arguments and results as in `master`."""
    gain = _gain(waveform, sample_rate, level or Level())
    return (waveform * np.float32(10 ** (gain / 20))).astype(np.float32), gain


def remove_rumble(waveform: Waveform, sample_rate: int) -> Waveform:
    """High-pass without phase shift: nothing below 12 Hz, all above 24 Hz. A constant offset goes too."""
    padding = min(len(waveform), sample_rate // 4)
    padded = np.pad(waveform, padding, mode="reflect" if padding < len(waveform) else "symmetric")
    size = 1 << (len(padded) - 1).bit_length()  # a power of two: quick whatever the length
    spectrum = np.fft.rfft(padded.astype(np.float64), size)
    low, high = HIGH_PASS_HZ
    position = np.clip((np.fft.rfftfreq(size, 1 / sample_rate) - low) / (high - low), 0, 1)
    spectrum *= 0.5 - 0.5 * np.cos(math.pi * position)
    filtered = np.fft.irfft(spectrum, size)[padding : padding + len(waveform)]
    return filtered.astype(np.float32)


def fade(waveform: Waveform, sample_rate: int) -> Waveform:
    """Raise the start over 3 ms and lower the end over 10 ms, so that neither clicks."""
    faded = waveform.copy()
    for seconds, end in ((FADE_IN_SECONDS, 1), (FADE_OUT_SECONDS, -1)):
        length = min(round(seconds * sample_rate), len(waveform) // 2)
        ramp = (0.5 - 0.5 * np.cos(math.pi * np.arange(length) / max(1, length))).astype(np.float32)
        faded[::end][:length] *= ramp
    return faded


def loudness(waveform: Waveform, sample_rate: int) -> float:
    """Integrated loudness in LUFS (EBU R 128, ITU-R BS.1770-4), by FFmpeg; -70 or less is silence.

    Sounds shorter than the meter's 400 ms are repeated to that length.
    """
    import av

    graph = av.filter.Graph()
    source = graph.add_abuffer(format="flt", sample_rate=sample_rate, layout="mono")
    meter, sink = graph.add("ebur128", "metadata=1"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    repeats = math.ceil(0.5 * sample_rate / len(waveform))
    frame = av.AudioFrame.from_ndarray(np.tile(waveform, repeats)[None].astype(np.float32), "flt", "mono")
    frame.sample_rate, frame.pts = sample_rate, 0
    graph.push(frame)
    graph.push(None)
    measured = -math.inf
    while True:
        try:
            measured = float(graph.pull().metadata["lavfi.r128.I"])
        except (av.BlockingIOError, av.EOFError):
            return measured


def peak_dbfs(waveform: Waveform) -> float:
    """Largest sample in dB relative to full scale; -inf for silence."""
    peak = float(np.abs(waveform).max(initial=0.0))
    return 20 * math.log10(peak) if peak > SILENCE else -math.inf


def _gain(waveform: Waveform, sample_rate: int, level: Level) -> float:
    peak = peak_dbfs(waveform)
    if peak == -math.inf:
        return 0.0
    if level.as_is:
        return min(0.0, -peak)
    if level.loudness is None:
        return (DEFAULT_PEAK if level.peak is None else level.peak) - peak
    measured = loudness(waveform, sample_rate)
    if measured <= LOUDNESS_RANGE[0]:
        return 0.0
    return min(level.loudness - measured, DEFAULT_PEAK - peak)  # a loudness that would clip is not reached
