"""Windows over long signals, half-overlapping or side by side, over streams too, and padding of short ones."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
from torch import Tensor
from torch.nn import functional as F

SLACK = 0.1  # of a window; a remainder no longer than this makes no window of its own


def window_starts(length: int, window: int) -> list[int]:
    """Starts of half-overlapping windows; the last window ends at `length`, which must be longer than `window`."""
    return [*range(0, length - window, window // 2), length - window]


def half_overlapping(pieces: Iterable[np.ndarray], window: int) -> Iterator[np.ndarray]:
    """The windows of `window_starts` of a sound that is given in pieces (samples,), as soon as each is known.

    A sound no longer than `window` samples is one window, as it is. Holds about one window and one piece in memory.
    """
    held, start = np.zeros(0, dtype=np.float32), 0  # start: of the next window, in `held`
    for piece in pieces:
        held = np.concatenate([held, piece])
        while len(held) - start > window:
            yield held[start : start + window]
            start += window // 2
        forgotten = max(0, min(start, len(held) - window))
        held, start = held[forgotten:], start - forgotten
    if held.size:
        yield held[-window:]


def side_by_side(length: float, window: float, slack: float = SLACK) -> list[tuple[float, float]]:
    """Start and end of adjacent windows that cover `length`; `window=0` means a single window over all of it.

    The last window ends at `length`: it overlaps the one before or, if less than the fraction `slack` of a window
    would remain, is slightly longer.
    """
    count = _count(length, window, slack)
    spans = [(index * window, (index + 1) * window) for index in range(count - 1)]
    last = min((count - 1) * window, max(0.0, length - window)) if window else 0.0
    return [*spans, (last, length)]


def adjacent(pieces: Iterable[np.ndarray], window: int) -> Iterator[tuple[int, np.ndarray, bool]]:
    """The windows of `side_by_side` of a sound that is given in pieces (samples,), as soon as each is known.

    Yields the start in samples, the samples, and whether the window is the last. Holds about two windows and one piece
    in memory.
    """
    held, at, done = np.zeros(0, dtype=np.float32), 0, 0  # at: where `held` begins; done: how many windows were given
    for piece in pieces:
        held = np.concatenate([held, piece])
        while _count(at + len(held), window, SLACK) - 1 > done:
            start = done * window - at
            yield done * window, held[start : start + window], False
            done += 1
            forgotten = max(0, (done - 1) * window - at)  # the last window may begin within the one before
            held, at = held[forgotten:], at + forgotten
    length = at + len(held)
    if length:
        start = min(done * window, max(0, length - window))
        yield start, held[start - at :], True


def _count(length: float, window: float, slack: float) -> int:
    return max(1, math.ceil(length / window - slack)) if window else 1


def repeat_pad(waveform: Tensor, length: int) -> Tensor:
    """Repeat (..., samples) as often as it fits whole into `length`, then pad with zeros (LAION-CLAP's "repeatpad")."""
    tiled = waveform.repeat(*[1] * (waveform.ndim - 1), max(1, length // waveform.shape[-1]))
    return F.pad(tiled, (0, length - tiled.shape[-1]))
