"""Windows over long sounds: together they cover all of it, and none is much longer or shorter than asked for."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clapgen.audio.windows import adjacent, half_overlapping, side_by_side, window_starts


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


def pieces_of(length: int, cuts: list[int]) -> list[np.ndarray]:
    """The numbers 0 … length - 1, in pieces."""
    return np.split(np.arange(length, dtype=np.float32), sorted(cut % (length + 1) for cut in cuts))


@given(st.integers(1, 200), st.integers(2, 50), st.lists(st.integers(0, 200), max_size=8))
def test_windows_of_a_stream_are_those_of_the_whole(length: int, window: int, cuts: list[int]) -> None:
    found = list(half_overlapping(pieces_of(length, cuts), window))
    starts = window_starts(length, window) if length > window else [0]
    assert [int(samples[0]) for samples in found] == starts
    assert all(len(samples) == min(window, length) for samples in found)
    assert all((np.diff(samples) == 1).all() for samples in found)


@given(st.integers(1, 200), st.integers(1, 50), st.lists(st.integers(0, 200), max_size=8))
def test_windows_side_by_side_of_a_stream_are_those_of_the_whole(length: int, window: int, cuts: list[int]) -> None:
    found = list(adjacent(pieces_of(length, cuts), window))
    spans = [(start, start + len(samples)) for start, samples, _ in found]
    assert spans == side_by_side(length, window)
    assert all(int(samples[0]) == start and (np.diff(samples) == 1).all() for start, samples, _ in found)
    assert [last for _, _, last in found] == [False] * (len(found) - 1) + [True]


def test_windows_are_given_before_the_stream_ends() -> None:
    def endless():
        while True:
            yield np.zeros(7, dtype=np.float32)

    assert len(next(half_overlapping(endless(), 10))) == 10
    assert next(adjacent(endless(), 10))[2] is False
    assert not list(half_overlapping([], 10)) and not list(adjacent([], 10))
