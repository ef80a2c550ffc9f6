"""Windows over what is longer than a network takes at once: half-overlapping, or side by side."""

import math


def window_starts(length: int, window: int) -> list[int]:
    """Where windows of `window` begin, half a window apart; the last is flush with the end. `length` > `window`."""
    return [*range(0, length - window, window // 2), length - window]


def side_by_side(length: float, window: float, slack: float = 0.1) -> list[tuple[float, float]]:
    """Start and end of windows that lie side by side over `length`; a `window` of 0 is one over all of it.

    The last is flush with the end: it begins earlier than its turn, or, where less than `slack` of a window would be
    left over, ends a little later.
    """
    count = max(1, math.ceil(length / window - slack)) if window else 1
    spans = [(place * window, (place + 1) * window) for place in range(count - 1)]
    last = min((count - 1) * window, max(0.0, length - window)) if window else 0.0
    return [*spans, (last, length)]
