"""Windows over long sounds: together they cover all of it, and none is much longer or shorter than asked for."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clapgen.audio.windows import side_by_side, window_starts


@given(st.floats(0.01, 5000), st.floats(0.5, 100))
def test_windows_side_by_side_cover_all_without_gaps(length: float, window: float) -> None:
    spans = side_by_side(length, window)
    assert spans[0][0] == 0 and spans[-1][1] == length
    assert all(start < next_start <= end for (start, end), (next_start, _) in pairwise(spans))
    assert all(end - start <= 1.1 * window + 1e-6 for start, end in spans)
    assert len(spans) == 1 or all(end - start >= window - 1e-6 for start, end in spans)


def test_the_last_window_is_flush_and_a_window_of_nothing_is_all() -> None:
    assert side_by_side(25, 10) == [(0, 10), (10, 20), (15, 25)]
    assert side_by_side(20.5, 10) == [(0, 10), (10, 20.5)]
    assert side_by_side(3, 10) == side_by_side(3, 0) == [(0, 3)]


@pytest.mark.parametrize(("length", "window"), [(11, 10), (25, 10), (100, 7)])
def test_half_overlapping_windows_cover_all(length: int, window: int) -> None:
    starts = window_starts(length, window)
    assert starts[0] == 0 and starts[-1] == length - window
    assert all(0 < b - a <= window // 2 for a, b in pairwise(starts))
