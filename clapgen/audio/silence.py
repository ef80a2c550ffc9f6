"""Silence: sounds that have no content, whatever their constant offset, found while they are read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

SILENCE_DBFS = -60.0  # a sound that peaks below this, once its mean is removed, is silent
CONSTANT_PEAK = 1e-5  # of full scale; resampling a constant leaves ripples below this


class SilenceMeter:
    """Looks at a sound `(samples,)` piece by piece; `samples` is its length so far.

    The mean is removed first: a constant offset is no sound.
    """

    def __init__(self) -> None:
        self.samples = 0
        self._sum, self._low, self._high = 0.0, math.inf, -math.inf

    def watch(self, pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The same pieces, each measured on its way."""
        for piece in pieces:
            if len(piece):
                self.samples += len(piece)
                self._sum += float(piece.sum(dtype=np.float64))
                self._low, self._high = min(self._low, float(piece.min())), max(self._high, float(piece.max()))
            yield piece

    def note(self) -> str:
        """How the sound is silent, in words; "" if it is not."""
        if not self.samples or self._low == self._high == 0:
            return "digital silence"
        mean = self._sum / self.samples
        peak = max(self._high - mean, mean - self._low)
        if peak < CONSTANT_PEAK:
            return "silent: a constant offset"
        peak_dbfs = 20 * math.log10(peak)
        return f"silent: peaks at {peak_dbfs:.0f} dBFS" if peak_dbfs < SILENCE_DBFS else ""


def silence_of(waveform: np.ndarray) -> str:
    """How a waveform `(samples,)` in [-1, 1] is silent, in words; "" if it is not."""
    meter = SilenceMeter()
    for _ in meter.watch([waveform]):
        pass
    return meter.note()
