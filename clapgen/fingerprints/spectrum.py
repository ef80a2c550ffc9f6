"""The spectrogram that fingerprints are made of, block by block, so that memory does not grow with the length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

RATE = 16000  # Hz
WINDOW = 1024  # samples, 64 ms
HOP = 256  # samples, 16 ms
BLOCK = 16  # frames, 0.256 s: the unit in which a fingerprint is stored
FRAMES_PER_SECOND = RATE / HOP
FLOOR = 1e-10  # power below which a bin is silent: that of a sine at about -130 dBFS

Array = NDArray[np.float32]

PIECE = 256 * BLOCK  # frames computed at once, about a minute


def power_pieces(pieces: Iterable[Array], context: int) -> Iterator[tuple[Array, int, int]]:
    """Power spectrograms `(frames, bins)` of a mono sound at `RATE` that arrives in pieces of any length.

    Each comes with the number of its first own frame and how many it has: before and after those are `context` frames
    of its neighbours, where there are any. All but the last have a whole number of blocks.
    """
    arriving = iter(pieces)
    held = np.zeros(0, dtype=np.float32)
    before = 0
    while True:
        wanted = (before + PIECE + context) * HOP + WINDOW
        while len(held) < wanted and (piece := next(arriving, None)) is not None:
            held = np.concatenate([held, piece])
        if len(held) < wanted:
            power = _power(np.pad(held, (0, max(0, WINDOW - len(held)))))
            yield power, before, len(power) - before
            return
        yield _power(held[: wanted - HOP]), before, PIECE
        held = held[(before + PIECE - context) * HOP :]
        before = context


def _power(samples: Array) -> Array:
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    spectrum = np.fft.rfft(frames * np.hanning(WINDOW).astype(np.float32), axis=1)
    return (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
