"""Windows over long signals, half-overlapping or side by side, and padding of short ones."""

import math

from torch import Tensor
from torch.nn import functional as F


def window_starts(length: int, window: int) -> list[int]:
    """Starts of half-overlapping windows; the last window ends at `length`, which must be longer than `window`."""
    return [*range(0, length - window, window // 2), length - window]


def side_by_side(length: float, window: float, slack: float = 0.1) -> list[tuple[float, float]]:
    """Start and end of adjacent windows that cover `length`; `window=0` means a single window over all of it.

    The last window ends at `length`: it overlaps the one before or, if less than the fraction `slack` of a window
    would remain, is slightly longer.
    """
    count = max(1, math.ceil(length / window - slack)) if window else 1
    spans = [(index * window, (index + 1) * window) for index in range(count - 1)]
    last = min((count - 1) * window, max(0.0, length - window)) if window else 0.0
    return [*spans, (last, length)]


def repeat_pad(waveform: Tensor, length: int) -> Tensor:
    """Repeat (..., samples) as often as it fits whole into `length`, then pad with zeros (LAION-CLAP's "repeatpad")."""
    tiled = waveform.repeat(*[1] * (waveform.ndim - 1), max(1, length // waveform.shape[-1]))
    return F.pad(tiled, (0, length - tiled.shape[-1]))
