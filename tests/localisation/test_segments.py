"""Segments of curves that are drawn by hand."""

import math

import numpy as np
import pytest

from clapgen.errors import ClapgenError
from clapgen.localisation.segments import Segment, SegmentFinder, SegmentRules, find_segments

RATE = 10.0


def segments(curve: list[float], **rules: float) -> list[tuple[float, float]]:
    defaults = {"threshold": 0.5, "min_seconds": 0.0, "max_gap": 0.0, "hysteresis": 1.0}
    [found] = find_segments(np.array(curve, dtype=np.float32)[:, None], RATE, SegmentRules(**defaults | rules))
    return [(round(segment.start, 6), round(segment.end, 6)) for segment in found]


def test_a_segment_is_where_the_threshold_is_reached() -> None:
    assert segments([0, 0, 0.6, 0.7, 0, 0, 0.5, 0.4]) == [(0.15, 0.35), (0.55, 0.65)]
    assert segments([0.9] * 10) == [(0.0, 0.95)]
    assert segments([0.1] * 10) == []
    assert segments([0.0] * 10, threshold=0.0) == [(0.0, 0.95)]
    assert segments([0.99] * 10, threshold=1.0) == []


def test_hysteresis_keeps_what_stays_near_the_threshold_and_drops_what_never_reaches_it() -> None:
    curve = [0, 0.4, 0.6, 0.4, 0, 0.45, 0.45, 0, 0]
    assert segments(curve, hysteresis=0.8) == [(0.05, 0.35)]
    assert segments(curve, hysteresis=1.0) == [(0.15, 0.25)]


def test_short_gaps_are_closed_and_short_segments_dropped() -> None:
    curve = [0, 1, 1, 0, 1, 1, 0, 0, 0, 1, 0, 0]
    assert segments(curve) == [(0.05, 0.25), (0.35, 0.55), (0.85, 0.95)]
    assert segments(curve, max_gap=0.1) == [(0.05, 0.55), (0.85, 0.95)]
    assert segments(curve, max_gap=0.1, min_seconds=0.2) == [(0.05, 0.55)]
    assert segments(curve, max_gap=1.0) == [(0.05, 0.95)]


def test_a_segment_knows_its_mean_and_peak() -> None:
    [[segment]] = find_segments(np.array([[0.0], [0.5], [0.9], [0.7], [0.0]]), RATE, SegmentRules(0.5, 0.0))
    assert segment == Segment(pytest.approx(0.05), pytest.approx(0.35), pytest.approx(0.7), pytest.approx(0.9))
    assert segment.end - segment.start == pytest.approx(0.3)


def test_queries_do_not_touch_and_blocks_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    curves = rng.uniform(size=(400, 5)).astype(np.float32)
    curves[-3:, 0] = curves[:3, 1] = 1  # at the end of one query and the start of the next
    rules = SegmentRules(0.8, 0.1, 0.1)
    whole = find_segments(curves, RATE, rules)
    for index in range(5):
        [alone] = find_segments(curves[:, index : index + 1], RATE, rules)
        assert alone == whole[index]
    for size in (1, 7, 399):
        finder = SegmentFinder(rules, 5, RATE)
        for at in range(0, len(curves), size):
            finder.add(curves[at : at + size])
        for found, expected in zip(finder.finish(39.95), whole, strict=True):
            assert [(s.start, s.end, s.peak) for s in found] == [(s.start, s.end, s.peak) for s in expected]
            np.testing.assert_allclose([s.probability for s in found], [s.probability for s in expected], rtol=1e-6)


def test_a_segment_ends_with_the_sound() -> None:
    finder = SegmentFinder(SegmentRules(0.5), 1, RATE)
    finder.add(np.ones((3, 1), dtype=np.float32))
    [[segment]] = finder.finish(0.02)  # one that is shorter than the shortest segment, too
    assert (segment.start, segment.end) == (0.0, 0.02)
    curve = np.array([[0.0], [1.0], [1.0]])
    [[segment]] = find_segments(curve, RATE, SegmentRules(0.5), seconds=0.49)  # the next frame would be at 0.5 s
    assert (segment.start, segment.end) == (0.05, 0.49)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan, math.inf])
def test_a_threshold_is_a_probability(threshold: float) -> None:
    with pytest.raises(ClapgenError, match="from 0 to 1"):
        SegmentRules(threshold)


def test_seconds_are_not_negative() -> None:
    for rules in ({"min_seconds": -1.0}, {"max_gap": math.nan}):
        with pytest.raises(ClapgenError, match="0 or more seconds"):
            SegmentRules(0.5, **rules)
