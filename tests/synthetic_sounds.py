"""Sounds of several kinds with random details: two of a kind are different recordings of the same sort of sound."""

import numpy as np

RATE = 22050
KINDS = ("rain", "wind", "impacts", "melody", "birds", "engine")


def sound(kind: str, seed: int, seconds: float = 4.0) -> np.ndarray:
    """A waveform `(samples,)` at RATE, with a peak of 0.5."""
    rng = np.random.default_rng([KINDS.index(kind), seed])
    make = {"rain": _rain, "wind": _wind, "impacts": _impacts, "melody": _melody, "birds": _birds, "engine": _engine}
    waveform = make[kind](rng, round(seconds * RATE))
    return (0.5 * waveform / np.abs(waveform).max()).astype(np.float32)


def _coloured(rng: np.random.Generator, count: int, slope: float) -> np.ndarray:
    spectrum = np.fft.rfft(rng.standard_normal(count))
    return np.fft.irfft(spectrum / np.arange(1, len(spectrum) + 1) ** slope, count)


def _slow(rng: np.random.Generator, count: int, hertz: float) -> np.ndarray:
    """A curve from 0.2 to 1 that changes `hertz` times per second."""
    points = rng.uniform(0.2, 1, max(2, round(hertz * count / RATE) + 2))
    return np.interp(np.linspace(0, len(points) - 1, count), np.arange(len(points)), points)


def _rain(rng: np.random.Generator, count: int) -> np.ndarray:
    drops = np.zeros(count)
    for _ in range(60 * count // RATE):
        drops = _added(drops, rng, _tone(rng.uniform(1500, 6000), 0.03), rng.uniform(0.1, 1))
    return _coloured(rng, count, 0.1) / np.sqrt(count) * 30 + drops


def _wind(rng: np.random.Generator, count: int) -> np.ndarray:
    return _coloured(rng, count, 0.5) * _slow(rng, count, 1.5)


def _impacts(rng: np.random.Generator, count: int) -> np.ndarray:
    hits = 0.001 * rng.standard_normal(count)
    for _ in range(5 * count // RATE):
        body = sum(rng.uniform(0.2, 1) * _tone(rng.uniform(150, 4000), 0.15) for _ in range(6))
        body[: round(0.03 * RATE)] += 0.5 * rng.standard_normal(round(0.03 * RATE))
        hits = _added(hits, rng, body, rng.uniform(0.3, 1))
    return hits


def _melody(rng: np.random.Generator, count: int) -> np.ndarray:
    notes = np.zeros(count)
    start = 0
    while start < count:
        pitch = 220 * 2 ** (rng.choice([0, 2, 4, 7, 9, 12, 14]) / 12) * rng.uniform(0.99, 1.01)  # as people play
        note = sum(rng.uniform(0.3, 1) / part * _tone(pitch * part, 0.3) for part in range(1, 8))
        note *= 1 + 0.5 * np.sin(2 * np.pi * rng.uniform(4, 9) * np.arange(len(note)) / RATE + rng.uniform(0, 6))
        notes[start : start + len(note)] += note[: count - start]
        start += round(rng.uniform(0.1, 0.3) * RATE)
    return notes


def _birds(rng: np.random.Generator, count: int) -> np.ndarray:
    chirps = 0.01 * rng.standard_normal(count)
    for _ in range(6 * count // RATE):
        length = round(rng.uniform(0.05, 0.2) * RATE)
        warble = np.sin(2 * np.pi * rng.uniform(5, 20) * np.arange(length) / RATE)
        frequency = rng.uniform(2000, 5000) + rng.uniform(50, 300) * warble
        chirp = np.sin(2 * np.pi * np.cumsum(frequency) / RATE) * np.hanning(length)
        chirps = _added(chirps, rng, chirp, rng.uniform(0.3, 1))
    return chirps


def _engine(rng: np.random.Generator, count: int) -> np.ndarray:
    phase = np.cumsum(rng.uniform(60, 90) + 10 * _slow(rng, count, 4)) / RATE
    hum = sum(_slow(rng, count, 10) ** 2 / part**0.5 * np.sin(2 * np.pi * part * phase) for part in range(1, 40))
    return hum + 0.5 * _coloured(rng, count, 0.5) / np.sqrt(count) * 30


def _tone(frequency: float, decay: float) -> np.ndarray:
    time = np.arange(round(4 * decay * RATE)) / RATE
    return np.sin(2 * np.pi * frequency * time) * np.exp(-time / decay)


def _added(waveform: np.ndarray, rng: np.random.Generator, event: np.ndarray, gain: float) -> np.ndarray:
    start = rng.integers(len(waveform))
    end = min(len(waveform), start + len(event))
    waveform[start:end] += gain * event[: end - start]
    return waveform
