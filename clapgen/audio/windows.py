"""Windows over what is longer than a network takes at once: half-overlapping, or side by side."""

import math


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
