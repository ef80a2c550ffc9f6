"""Calibrated probabilities are those that known data was drawn with."""

import numpy as np
import pytest

from clapgen.metrics.embeddings.calibration import (
    Calibration,
    choice_logits,
    expected_calibration_error,
    fit_choice,
    fit_sigmoid,
    softmax,
)

KNOWN = Calibration("{label}", scale=8.0, bias=-3.0, choice_scale=10.0, none_bias=2.0)


def test_the_sigmoid_is_the_one_that_labels_were_drawn_with() -> None:
    rng = np.random.default_rng(0)
    cosines = rng.uniform(-0.2, 0.9, 20_000)
    p = KNOWN.independent(cosines)
    applies = rng.random(len(p)) < p
    scale, bias = fit_sigmoid(cosines, applies)
    assert (scale, bias) == (pytest.approx(8, rel=0.05), pytest.approx(-3, rel=0.05))
    assert expected_calibration_error(p, applies) < 0.02
    assert expected_calibration_error(p**0.3, applies) > 0.1


def test_the_choice_is_the_one_that_answers_were_drawn_with() -> None:
    rng = np.random.default_rng(0)
    choices = []
    for count in (2, 5, 20):
        cosines = rng.uniform(-0.2, 0.9, (4000, count))
        cumulative = KNOWN.with_none(cosines).cumsum(1)
        choices.append((cosines, (rng.random((4000, 1)) > cumulative).sum(1).clip(0, count)))
    scale, bias = fit_choice(choices)
    assert (scale, bias) == (pytest.approx(10, rel=0.1), pytest.approx(2, abs=0.3))


def test_none_is_likely_where_no_label_is_near_and_unlikely_where_one_is() -> None:
    far, near = KNOWN.with_none([[0.0, 0.05, -0.1], [0.9, 0.05, -0.1]])
    assert far.sum() == pytest.approx(1) and near.sum() == pytest.approx(1)
    assert far[-1] > 0.8 and near[-1] < 0.05
    assert near.argmax() == 0
    np.testing.assert_allclose(softmax(choice_logits(np.zeros((1, 1)), 1.0, 0.0)), [[0.5, 0.5]])


def test_each_label_is_judged_by_itself() -> None:
    alone, together = KNOWN.independent([[0.5]]), KNOWN.independent([[0.5, 0.9, 0.1]])
    assert alone[0, 0] == together[0, 0] == pytest.approx(1 / (1 + np.exp(-1)))
    assert (np.diff(KNOWN.independent(np.linspace(-1, 1, 50))) > 0).all()


def test_the_error_is_the_gap_between_what_is_said_and_what_happens() -> None:
    assert expected_calibration_error([0.9, 0.9], [True, False]) == pytest.approx(0.4)
    assert expected_calibration_error([0.0, 1.0, 1.0], [False, True, True]) == 0
    assert expected_calibration_error([0.1, 0.9], [True, False]) == pytest.approx(0.9)
