"""Entailment thresholds against a search of all pairs, and metrics against scikit-learn's."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings import base as embeddings
from clapgen.metrics.embeddings.entailment import (
    LABELS,
    EntailmentAccumulator,
    EntailmentThresholds,
    audio_entailment,
    fit_thresholds,
)

quick = settings(max_examples=25, deadline=None, derandomize=True)


@st.composite
def labelled(draw: st.DrawFn) -> tuple[np.ndarray, list[str], np.random.Generator]:
    """Cosines that rise with the label, more or less, some of them equal."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    truth = rng.permutation(np.concatenate([[0, 1, 2], rng.integers(3, size=draw(st.integers(0, 12)))]))
    noise = draw(st.floats(0, 2))
    cosines = (0.2 * truth + noise * rng.normal(size=len(truth))).round(draw(st.sampled_from([1, 12])))
    return cosines, [LABELS[index] for index in truth], rng


def score_of(objective: str, labels: list[str], predicted: list[str]) -> float:
    pairs = list(zip(labels, predicted, strict=True))
    if objective == "accuracy":
        return sum(own == taken for own, taken in pairs) / len(pairs)
    right = {label: pairs.count((label, label)) for label in LABELS}
    return sum(2 * right[label] / (labels.count(label) + predicted.count(label)) for label in LABELS) / 3


@quick
@given(labelled(), st.sampled_from(["macro_f1", "accuracy"]))
def test_no_other_thresholds_are_better(data, objective):
    cosines, labels, rng = data
    fitted = fit_thresholds(cosines, labels, objective)
    assert fitted.low <= fitted.high and fitted.n == len(labels)
    assert fitted.score == pytest.approx(score_of(objective, labels, fitted.labels(cosines)))
    choices = [*cosines, cosines.max() + 1]
    for low, high in itertools.combinations_with_replacement(sorted(choices), 2):
        other = EntailmentThresholds(low, high, objective, 0.0, 0)
        assert score_of(objective, labels, other.labels(cosines)) <= fitted.score + 1e-12
    order = rng.permutation(len(cosines))
    assert fit_thresholds(cosines[order], [labels[i] for i in order], objective) == fitted


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    cosines, labels = rng.normal(size=40), [LABELS[i % 3] for i in range(40)]
    whole = fit_thresholds(cosines, labels)
    monkeypatch.setattr(embeddings, "BLOCK_VALUES", 50)
    assert fit_thresholds(cosines, labels) == whole


@quick
@given(labelled(), labelled(), st.integers(1, 20))
def test_metrics_equal_scikit_learns_in_batches_too(dev, test, cut):
    thresholds = fit_thresholds(dev[0], dev[1])
    cosines, labels, _ = test
    result = audio_entailment(cosines, labels, thresholds)
    assert result.accuracy == pytest.approx(accuracy_score(labels, result.predicted))
    assert result.macro_f1 == pytest.approx(f1_score(labels, result.predicted, labels=list(LABELS), average="macro"))
    assert (result.confusion == confusion_matrix(labels, result.predicted, labels=list(LABELS))).all()
    assert result.majority == pytest.approx(max(map(labels.count, LABELS)) / len(labels))
    one, two = EntailmentAccumulator(thresholds), EntailmentAccumulator(thresholds)
    one.update(cosines[:cut], labels[:cut])
    two.update(cosines[cut:], labels[cut:])
    two.merge(one)
    merged = two.compute()
    assert (merged.accuracy, merged.f1, merged.interval) == (result.accuracy, result.f1, result.interval)


def test_clear_cosines_are_separated_in_the_middle():
    cosines = [-0.3, -0.1, 0.1, 0.3, 0.5]
    labels = ["contradiction", "contradiction", "neutral", "neutral", "entailment"]
    for objective in ("macro_f1", "accuracy"):
        fitted = fit_thresholds(cosines, labels, objective)
        assert (fitted.low, fitted.high, fitted.score) == (pytest.approx(0), pytest.approx(0.4), pytest.approx(1))


def test_errors_name_what_is_wrong():
    good = ["contradiction", "neutral", "entailment"]
    thresholds = fit_thresholds([0.1, 0.2, 0.3], good)
    with pytest.raises(ClapgenError, match="No development pair is labelled neutral"):
        fit_thresholds([0.1, 0.3], ["contradiction", "entailment"])
    with pytest.raises(ClapgenError, match="No test pair is labelled contradiction"):
        audio_entailment([0.1, 0.2], ["neutral", "entailment"], thresholds)
    with pytest.raises(ClapgenError, match="No test pair is labelled contradiction"):
        EntailmentAccumulator(thresholds).compute()
    with pytest.raises(ClapgenError, match=r"unknown label 'entails'; .* Did you mean 'entailment'"):
        fit_thresholds([0.1, 0.2, 0.3], [*good[:2], "entails"])
    with pytest.raises(ClapgenError, match="2 cosines and 3 labels"):
        fit_thresholds([0.1, 0.2], good)
    with pytest.raises(ClapgenError, match="finite numbers"):
        fit_thresholds([0.1, 0.2, float("nan")], good)
    with pytest.raises(ClapgenError, match="not 'f1'"):
        fit_thresholds([0.1, 0.2, 0.3], good, "f1")
    other = fit_thresholds([0.2, 0.4, 0.6], good)
    with pytest.raises(ClapgenError, match="same thresholds"):
        EntailmentAccumulator(thresholds).merge(EntailmentAccumulator(other))


def test_a_cosine_at_a_threshold_is_above_it():
    thresholds = EntailmentThresholds(0.25, 0.5, "macro_f1", 1.0, 3)
    assert thresholds.labels([0.24, 0.25, 0.49, 0.5]) == ["contradiction", "neutral", "neutral", "entailment"]
