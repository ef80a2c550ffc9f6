"""Metrics of localisation on cases whose answer is known, and against formulas written out in full."""

import numpy as np
import pytest

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.base import NotMeasurable
from clapgen.metrics.embeddings.calibration import expected_calibration_error
from clapgen.metrics.localisation.detection import detection_area
from clapgen.metrics.localisation.frames import (
    ScoredCurve,
    auroc,
    balanced_calibration_error,
    frame_auroc,
    mean_of_absent,
)
from clapgen.metrics.localisation.segments import Counts, collar_counts, intersection_counts, merged


def curve(query: str, scores: list[float], truth: list[int]) -> ScoredCurve:
    return ScoredCurve(query, np.array(scores, dtype=np.float32), np.array(truth, dtype=bool))


def test_auroc_counts_pairs() -> None:
    rng = np.random.default_rng(0)
    for levels in (3, 20, 10**6):  # with many ties, some, and none
        scores, truth = rng.integers(levels, size=200), rng.random(200) < 0.2
        difference = scores[truth][:, None] - scores[~truth][None]
        expected = ((difference > 0) + 0.5 * (difference == 0)).mean()
        assert auroc(scores, truth) == pytest.approx(expected, abs=1e-12)


def test_auroc_of_perfect_inverted_and_constant_scores() -> None:
    truth = [0, 0, 1, 1, 0]
    assert auroc(truth, truth) == 1
    assert auroc(np.negative(truth), truth) == 0
    assert auroc(np.zeros(5), truth) == 0.5
    for constant in (0, 1):
        with pytest.raises(NotMeasurable):
            auroc([1, 2, 3], [constant] * 3)


def test_the_three_areas_differ_as_they_should() -> None:
    # each query is perfect by itself, but "b" has higher scores throughout
    curves = [curve("a", [0.1, 0.2], [0, 1]), curve("b", [0.8, 0.9], [0, 1])]
    found = frame_auroc(curves)
    assert (found.macro, found.within, found.micro) == (1, 1, 0.75)
    # found in the right sound, but at the wrong moment
    found = frame_auroc([curve("a", [0.9, 0.8], [0, 1]), curve("a", [0.1, 0.1], [0, 0])])
    assert found.within == 0 and found.macro == pytest.approx(2 / 3)
    assert frame_auroc([curve("a", [0.1], [0])]).macro is None
    with pytest.raises(ClapgenError, match="one value per frame"):
        curve("a", [0.1], [0, 1])


def test_calibration_weighs_both_kinds_alike() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(40_000)
    truth = rng.random(40_000) < p
    keep = truth | (rng.random(40_000) < 0.05)  # most frames without the sound are left out
    for chosen in (slice(None), keep):
        one = ScoredCurve("a", p[chosen].astype(np.float32), truth[chosen])
        assert balanced_calibration_error([one]) < 0.025
    assert expected_calibration_error(p[keep], truth[keep]) > 0.2  # which is what unweighted frames would give
    assert balanced_calibration_error([curve("a", [1, 1], [0, 1])]) == pytest.approx(0.5)
    assert balanced_calibration_error([curve("a", [0, 0, 0, 1], [0, 0, 0, 1])]) == 0
    with pytest.raises(NotMeasurable):
        balanced_calibration_error([curve("a", [0.1], [0])])


def test_the_mean_of_absent_sounds_is_over_those_alone() -> None:
    curves = [curve("a", [0.2, 0.4], [0, 0]), curve("a", [0.9, 0.9], [0, 1])]
    assert mean_of_absent(curves) == pytest.approx(0.3)
    with pytest.raises(NotMeasurable):
        mean_of_absent(curves[1:])


def test_a_collar_allows_for_small_errors_at_both_ends() -> None:
    reference = [(1.0, 2.0), (5.0, 10.0)]
    assert collar_counts(reference, reference) == Counts(2, 2, 0)
    assert collar_counts([(1.4, 2.4)], reference, collar=0.5) == Counts(1, 2, 0)
    assert collar_counts([(1.6, 2.0)], reference, collar=0.5) == Counts(0, 2, 1)
    assert collar_counts([(5.0, 10.9)], reference, collar=0.5) == Counts(1, 2, 0)  # a fifth of 5 s
    assert collar_counts([(1.0, 2.0), (1.1, 2.1)], reference).false == 1  # each reference once
    # the first detection fits both references, the second only the first: both can be matched
    assert collar_counts([(0.0, 1.0), (-0.4, 0.6)], [(0.0, 1.0), (0.3, 1.3)], collar=0.45) == Counts(2, 2, 0)


def test_intersection_allows_for_split_and_joined_events() -> None:
    assert intersection_counts([(0, 1), (1.2, 2)], [(0, 2)]) == Counts(1, 1, 0)
    assert intersection_counts([(0, 4)], [(0, 1.5), (2, 4)]) == Counts(2, 2, 0)
    assert intersection_counts([(0, 0.4)], [(0, 1)]) == Counts(0, 1, 0)  # right, but too little of it
    assert intersection_counts([(0, 3)], [(0, 1)]) == Counts(0, 1, 1)
    assert intersection_counts([], []) == Counts()
    assert merged([(3, 4), (0, 1), (1, 2)]) == [(0, 2), (3, 4)]


def test_f1_of_counts() -> None:
    assert Counts(3, 3, 0).f1 == 1 and Counts(0, 3, 0).f1 == 0 and Counts().f1 is None
    assert Counts(1, 2, 1).f1 == pytest.approx(0.5) and Counts(1, 2, 1).recall == 0.5
    assert Counts(1, 2, 3) + Counts(1, 0, 0) == Counts(2, 2, 3)


def test_the_area_of_perfect_random_and_blind_detectors() -> None:
    always = {"a": [Counts(0, 4, 0), Counts(4, 4, 0)]}
    assert detection_area(always, {"a": 1.0}) == 1
    assert detection_area({"a": [Counts(0, 4, 0)]}, {"a": 1.0}) == 0
    # half is found at once; the rest costs 50 false alarms in an hour, the whole axis 100
    halves = {"a": [Counts(2, 4, 0), Counts(4, 4, 100)], "absent": [Counts(0, 0, 9)]}
    assert detection_area(halves, {"a": 2.0, "absent": 2.0}) == pytest.approx(0.5 * 0.5 + 0.5 * 1.0)
    assert detection_area({"a": [Counts(4, 4, 101)]}, {"a": 1.0}) == 0  # only beyond the axis
    worse_again = {"a": [Counts(4, 4, 10), Counts(1, 4, 20)]}  # a lower threshold joins segments
    assert detection_area(worse_again, {"a": 1.0}) == pytest.approx(0.9)
    with pytest.raises(NotMeasurable):
        detection_area({"a": [Counts(0, 0, 1)]}, {"a": 1.0})
