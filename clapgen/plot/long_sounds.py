"""Spectrograms and curves of sounds of any length: given piece by piece, kept as a bounded number of columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from clapgen.plot.spectrogram import LOWEST, WINDOW, brightness, power_spectra, row_powers

_COLUMNS = 4096  # of a full table; at least half as many are in use once it has been full
_WINDOWS_PER_COLUMN = 8  # at most: of an hours-long sound, samples of it are drawn
_CHUNK = 512  # windows at a time


class Columns:
    """A table of columns in order of time, which never grows: when it is full, neighbours are merged.

    Attributes:
        span: positions per column; doubles with each merge.
    """

    def __init__(self, width: int, merge: np.ufunc, span: int = 1) -> None:
        """`merge` is how values of one column become one: np.add or np.maximum, both of non-negative values."""
        self.span, self._merge = span, merge
        self._table = np.zeros((_COLUMNS, width), dtype=np.float64)

    def add(self, positions: npt.NDArray[np.int64], values: npt.NDArray) -> None:
        """Add values (n, width) at rising positions (n,)."""
        while positions[-1] // self.span >= _COLUMNS:
            half = self._merge(self._table[0::2], self._table[1::2])
            self._table[: len(half)], self._table[len(half) :] = half, 0
            self.span *= 2
        self._merge.at(self._table, positions // self.span, values)

    def stretched(self, end: int, width: int) -> npt.NDArray[np.float64]:
        """Values (width, …) at evenly spaced positions from 0 to `end`."""
        positions = (np.arange(width) + 0.5) * end / width
        return self._table[np.minimum(positions // self.span, _COLUMNS - 1).astype(np.int64)]

    def filled(self, end: int) -> npt.NDArray[np.float64]:
        """The columns (columns, width) of positions before `end`."""
        return self._table[: -(-end // self.span)]


class LongSpectrogram:
    """The spectrogram of a sound that is given in pieces (samples,)."""

    def __init__(self, sample_rate: int, height: int) -> None:
        self._rate = sample_rate
        self._frequencies = np.geomspace(LOWEST, sample_rate / 2, height + 1)
        self._hop = WINDOW // 8
        self._columns = Columns(height + 1, np.add, span=self._hop)  # power of each row, and the number of windows
        self._held, self._at = np.zeros(WINDOW // 2, dtype=np.float32), -WINDOW // 2
        self._next = 0  # centre of the next window
        self.samples = 0

    def add(self, piece: npt.NDArray[np.float32]) -> None:
        """Add the next piece."""
        self.samples += len(piece)
        self._held = np.concatenate([self._held, piece])
        self._take()

    def shade(self, width: int) -> npt.NDArray[np.float64]:
        """Brightness (height, width) in [0, 1], high frequencies first, once everything was added."""
        self._held = np.pad(self._held, (0, WINDOW // 2))
        self._take()
        table = self._columns.stretched(self.samples, width)
        filled = np.flatnonzero(table[:, -1])
        nearest = filled[np.clip(np.searchsorted(filled, np.arange(width), side="right") - 1, 0, None)]
        return brightness((table[nearest, :-1] / table[nearest, -1:]).T)

    def _take(self) -> None:
        """Add all windows that are complete, and forget the samples before the next one."""
        last = min(self._at + len(self._held) - WINDOW // 2, self.samples - 1)
        while self._next <= last:
            centres = np.arange(self._next, last + 1, self._hop)[:_CHUNK]
            starts = centres - WINDOW // 2 - self._at
            windows = self._held[starts[:, None] + np.arange(WINDOW)]
            rows = row_powers(power_spectra(windows), self._rate, self._frequencies)
            self._columns.add(centres, np.concatenate([rows, np.ones((len(rows), 1))], axis=1))
            self._hop = max(self._hop, self._columns.span // _WINDOWS_PER_COLUMN)
            self._next = int(centres[-1]) + self._hop
        forgotten = max(0, min(len(self._held), self._next - WINDOW // 2 - self._at))
        self._held, self._at = self._held[forgotten:], self._at + forgotten


class LongCurves:
    """Curves (points, queries) in [0, 1] that are given in blocks; of each stretch of time the highest point."""

    def __init__(self, queries: int) -> None:
        self._columns = Columns(queries, np.maximum)
        self.points = 0

    def add(self, curves: npt.NDArray[np.float32]) -> None:
        """Add the next block."""
        if len(curves):
            self._columns.add(self.points + np.arange(len(curves)), curves)
            self.points += len(curves)

    def heights(self, width: int, end: float) -> npt.NDArray[np.float64]:
        """The curves (queries, width) at the middles of `width` equal stretches from 0 to `end` points.

        They are linear between points. Of several points in a stretch, the highest counts. The last point lasts to the
        end.
        """
        columns = self._columns.filled(self.points)
        edges = np.arange(width) * end / width
        if len(columns) > width:
            return np.maximum.reduceat(columns, (edges // self._columns.span).clip(0, len(columns) - 1).astype(int)).T
        middles = edges + end / width / 2
        centres = np.arange(len(columns)) * self._columns.span + (self._columns.span - 1) / 2
        return np.stack([np.interp(middles, centres, curve) for curve in columns.T])
