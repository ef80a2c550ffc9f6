"""Scenes as waveforms: clips cut, brought to equal loudness, placed, moved into the distance and mixed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clapgen.errors import ClapgenError
from clapgen.scenes.loudness import a_weighted_level
from clapgen.scenes.scene import Event, Scene

Waveform = NDArray[np.float32]

LEVEL_DB = -23.0  # A-weighted level of an event with a gain of 0 dB, before the peak is set
PEAK_DBFS = -1.0
_FADE = 0.01  # seconds at both ends of an event
NEAR_WET_DB, FAR_WET_DB = -20.0, 3.0  # reverberation relative to the direct sound
NEAR_TAIL, FAR_TAIL = 0.2, 1.0  # seconds in which it falls by 60 dB
_NEAR_CUT, _FAR_CUT = 16000.0, 2000.0  # Hz above which a low-pass weakens it
_ROUNDING = 2e-3  # seconds by which times may be off


@dataclass(frozen=True)
class RenderedScene:
    """A scene's sound (samples,), and that of each of its events alone (events, samples); they add up to it."""

    waveform: Waveform
    stems: NDArray[np.float32]


def render(
    scene: Scene, waveforms: Mapping[int, Waveform] | Sequence[Waveform], sample_rate: int, seed: int = 0
) -> RenderedScene:
    """A scene as sound, with a peak of −1 dBFS.

    Every event is brought to the same A-weighted level, then to its own gain; its ends are faded over 10 ms. A distant
    event has more reverberation (exponentially falling noise) and fewer high frequencies, and may sound on until the
    scene ends.

    Args:
        waveforms: of each clip of the events, by its number, mono at `sample_rate`.
        seed: of the noise of reverberation.

    Raises:
        ClapgenError: an event ends after the scene or after its clip, or is silent.
    """
    check_times(scene)
    total = max(1, round(scene.duration * sample_rate))
    stems = np.zeros((len(scene.events), total), dtype=np.float32)
    for number, (event, stem) in enumerate(zip(scene.events, stems, strict=True)):
        piece = _cut(event, waveforms[event.clip], sample_rate)
        start = min(round(event.start * sample_rate), total - 1)
        sound = _faded(piece, sample_rate)
        if event.distance:
            noise = np.random.default_rng([seed, number])
            sound = _faded(_distant(sound, event.distance, total - start, sample_rate, noise), sample_rate)
        sound = sound[: total - start]
        level = a_weighted_level(sound, sample_rate)
        if level == -math.inf:
            raise ClapgenError(f"the event '{event.label}' at {event.start:.2f} s is silent; choose an audible clip.")
        stem[start : start + len(sound)] = sound * np.float32(10 ** ((LEVEL_DB + event.gain_db - level) / 20))
    peak = float(np.abs(stems.sum(0)).max())
    stems *= np.float32(10 ** (PEAK_DBFS / 20) / peak)
    return RenderedScene(stems.sum(0), stems)


def check_times(scene: Scene, where: str = "the scene") -> None:
    """ClapgenError, starting with `where`, if an event of a scene is not within it."""
    for event in scene.events:
        if event.end > scene.duration + _ROUNDING:
            raise ClapgenError(
                f"{where}: the event '{event.label}' ends at {event.end:.2f} s, after the scene, which lasts "
                f"{scene.duration:.2f} s."
            )


def _cut(event: Event, waveform: Waveform, sample_rate: int) -> Waveform:
    start, count = round(event.clip_start * sample_rate), max(1, round(event.duration * sample_rate))
    if start + count > len(waveform) + _ROUNDING * sample_rate:
        raise ClapgenError(
            f"the event '{event.label}' needs {event.clip_start + event.duration:.2f} s of clip {event.clip}, which "
            f"lasts {len(waveform) / sample_rate:.2f} s."
        )
    return waveform[start : start + count].astype(np.float32)


def _distant(sound: Waveform, distance: float, longest: int, sample_rate: int, noise: np.random.Generator) -> Waveform:
    """With reverberation that sounds on, cut to `longest` samples, and without high frequencies."""
    tail = max(1, round(between(NEAR_TAIL, FAR_TAIL, distance) * sample_rate))
    echo = noise.standard_normal(tail) * 10 ** (-3 * np.arange(tail) / tail)
    wet = 10 ** (between(NEAR_WET_DB, FAR_WET_DB, distance) / 20)
    response = echo * wet / max(1e-12, float(np.sqrt(np.square(echo).sum())))
    response[0] += 1.0
    size = 1 << (len(sound) + tail - 2).bit_length()
    cut = _NEAR_CUT * (_FAR_CUT / _NEAR_CUT) ** distance
    low_pass = 1 / np.sqrt(1 + (np.fft.rfftfreq(size, 1 / sample_rate) / cut) ** 4)
    spectrum = np.fft.rfft(sound.astype(np.float64), size) * np.fft.rfft(response, size) * low_pass
    return np.fft.irfft(spectrum, size)[: min(longest, len(sound) + tail - 1)].astype(np.float32)


def between(near: float, far: float, distance: float) -> float:
    """A value for a distance from 0 (near) to 1 (far)."""
    return near + (far - near) * distance


def _faded(waveform: Waveform, sample_rate: int) -> Waveform:
    length = min(len(waveform) // 2, round(_FADE * sample_rate))
    ramp = np.ones(len(waveform), dtype=np.float32)
    ramp[:length] = np.linspace(0, 1, length, endpoint=False)
    return waveform * ramp * ramp[::-1]
