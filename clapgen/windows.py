"""Half-overlapping windows over what is longer than a network takes at once."""


def window_starts(length: int, window: int) -> list[int]:
    """Where windows of `window` begin, half a window apart; the last is flush with the end. `length` > `window`."""
    return [*range(0, length - window, window // 2), length - window]
