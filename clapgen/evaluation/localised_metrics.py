"""From curves with known truth to the metrics and tables of a report on localisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from clapgen.evaluation.context import try_metric
from clapgen.evaluation.localised_sounds import Answer
from clapgen.localisation.segments import SegmentRules, find_segments
from clapgen.metrics.embeddings.calibration import fit_sigmoid
from clapgen.metrics.embeddings.clap_score import bootstrap_interval
from clapgen.metrics.localisation.detection import MOST_FALSE_PER_HOUR, detection_area
from clapgen.metrics.localisation.frames import (
    FrameAuroc,
    ScoredCurve,
    auroc,
    balanced_calibration_error,
    frame_auroc,
    mean_of_absent,
)
from clapgen.metrics.localisation.segments import TOLERANCE, Counts, Span, collar_counts, intersection_counts
from clapgen.report.model import Metric, Row

THRESHOLDS = 40  # of the sweep over all of them
_RAREST = 1e-4  # share of all points above the highest threshold
_FITTED_ON = 100_000  # points of each kind, at most
_SCALE = "0 to 1"


@dataclass(frozen=True)
class Found:
    """Segments at one threshold, counted per query.

    Attributes:
        collar, intersection: the counts of each query by both criteria.
        absent, alarmed: how many queries of absent sounds were asked, and how many of them have a segment.
    """

    threshold: float
    collar: dict[str, Counts]
    intersection: dict[str, Counts]
    absent: int
    alarmed: int


@dataclass(frozen=True)
class Curves:
    """The answers to be measured, with the rules of segments and the collar in seconds."""

    answers: Sequence[Answer]
    rules: SegmentRules
    collar: float

    @cached_property
    def scored(self) -> list[ScoredCurve]:
        """Every curve with its truth, in the order of answers and queries."""
        return [curve for each in self.answers for curve in each.scored()]

    @cached_property
    def auroc(self) -> FrameAuroc:
        """Areas under the ROC curve of frames."""
        return frame_auroc(self.scored)

    @cached_property
    def hours(self) -> dict[str, float]:
        """Hours of sound in which each query was asked."""
        hours: dict[str, float] = {}
        for each in self.answers:
            for query in each.queries:
                hours[query] = hours.get(query, 0.0) + each.seconds / 3600
        return hours

    @cached_property
    def found(self) -> Found:
        """Segments at the threshold of `rules`."""
        return self.at(self.rules.threshold)

    @cached_property
    def sweep(self) -> list[Found]:
        """Segments at thresholds above which 0.01% to all of the points lie, and at the threshold of `rules`."""
        points = np.concatenate([each.curves.ravel() for each in self.answers])
        levels = 1 - np.geomspace(_RAREST, 1, THRESHOLDS)
        thresholds = np.unique(np.quantile(points, levels).clip(0, 1)).tolist()
        return [self.found, *(self.at(threshold) for threshold in thresholds)]

    def at(self, threshold: float) -> Found:
        """Segments at a threshold."""
        rules = replace(self.rules, threshold=threshold)
        collar = {query: Counts() for query in self.hours}
        crossing, absent, alarmed = dict(collar), 0, 0
        for each in self.answers:
            for query, reference, spans in zip(each.queries, each.reference, spans_of(each, rules), strict=True):
                absent += not reference
                alarmed += not reference and bool(spans)
                if reference or spans:
                    collar[query] += collar_counts(spans, reference, self.collar)
                    crossing[query] += intersection_counts(spans, reference)
        return Found(threshold, collar, crossing, absent, alarmed)


def spans_of(answer: Answer, rules: SegmentRules) -> list[list[Span]]:
    """The segments that are found in each curve, as start and end in seconds."""
    return [
        [(segment.start, segment.end) for segment in segments]
        for segments in find_segments(answer.curves, answer.rate, rules, answer.seconds)
    ]


def metrics_of(curves: Curves, seed: int = 0) -> list[Metric]:
    """All metrics of a model."""
    scored, found = curves.scored, curves.found
    n_absent = sum(not curve.present for curve in scored)
    at = f"threshold {curves.rules.threshold:.3g}"
    false = sum(found.intersection.values(), Counts()).false
    metrics = [
        *_auroc_metrics(curves, seed=seed),
        *_f1_metrics(found, curves.collar, at),
        *_sweep_metrics(curves),
        Metric(
            "false segments an hour",
            false / sum(curves.hours.values()),
            false,
            None,
            "per query",
            False,
            f"{at}, by intersection; hours count once for each query",
        ),
        try_metric(
            "expected calibration error",
            len(scored),
            lambda: balanced_calibration_error(scored),
            scale=_SCALE,
            higher_is_better=False,
            note="10 bins; frames with and without the sound weigh the same",
        ),
        try_metric(
            "mean probability of absent sounds",
            n_absent,
            lambda: mean_of_absent(scored),
            scale=_SCALE,
            higher_is_better=False,
        ),
    ]
    if found.absent:
        share = found.alarmed / found.absent
        metrics.append(Metric("absent sounds found", share, found.absent, None, "share of queries", False, at))
    return metrics


def baseline_metrics(curves: Curves, name: str) -> list[Metric]:
    """What can be compared: the metrics of a baseline that do not depend on how it is calibrated."""
    fitted = _fitted(curves)
    return [
        replace(metric, name=f"{name}: {metric.name}") for metric in [*_auroc_metrics(fitted), *_sweep_metrics(fitted)]
    ]


def class_rows(curves: Curves) -> list[Row]:
    """One row per label that sounds somewhere."""
    rows: list[Row] = []
    for query, counts in curves.found.intersection.items():
        if counts.references:
            rows.append(
                {
                    "class": query,
                    "n": counts.references,
                    "frame AUROC": curves.auroc.of_query.get(query),
                    "F1, intersection": counts.f1,
                    "F1, collar": curves.found.collar[query].f1,
                    "found": counts.recall,
                    "false an hour": counts.false / curves.hours[query],
                }
            )
    return rows


def clip_rows(curves: Curves) -> list[Row]:
    """One row per sound and query that is present in it."""
    rows: list[Row] = []
    for each in curves.answers:
        spans = spans_of(each, curves.rules)
        for index, (query, curve) in enumerate(zip(each.queries, each.scored(), strict=True)):
            if not curve.present:
                continue
            counts = intersection_counts(spans[index], each.reference[index])
            outside = curve.scores[~curve.truth]
            rows.append(
                {
                    "path": each.name,
                    "query": query,
                    "frame AUROC": auroc(curve.scores, curve.truth) if len(outside) else None,
                    "probability inside": float(curve.scores[curve.truth].mean()),
                    "probability outside": float(outside.mean()) if len(outside) else None,
                    "events": counts.references,
                    "found": counts.hits,
                    "false": counts.false,
                    "where": _times(each.reference[index]),
                    "segments": _times(spans[index]),
                }
            )
    return rows


def _auroc_metrics(curves: Curves, seed: int = 0) -> list[Metric]:
    areas = curves.auroc
    values = np.array(list(areas.of_query.values()))
    interval = bootstrap_interval(values, seed=seed) if len(values) > 1 else None
    n_present = sum(curve.present for curve in curves.scored)
    return [
        Metric("frame AUROC, mean of labels", areas.macro, len(values), interval, _SCALE, True, "chance 0.5"),
        Metric("frame AUROC, all frames together", areas.micro, len(curves.scored), None, _SCALE, True, "chance 0.5"),
        Metric(
            "frame AUROC within a sound",
            areas.within,
            n_present,
            None,
            _SCALE,
            True,
            "frames in and out of an event; chance 0.5",
        ),
    ]


def _f1_metrics(found: Found, collar: float, note: str) -> list[Metric]:
    kinds = {f"collar {collar:g} s": found.collar, f"intersection {TOLERANCE:g}": found.intersection}
    totals = {kind: sum(own.values(), Counts()) for kind, own in kinds.items()}
    return [
        Metric(f"segment F1, {kind}", total.f1, total.references, None, _SCALE, True, note)
        for kind, total in totals.items()
    ]


def _sweep_metrics(curves: Curves) -> list[Metric]:
    best = {
        name: max((sum(getattr(found, key).values(), Counts()).f1 or 0.0) for found in curves.sweep)
        for name, key in ((f"collar {curves.collar:g} s", "collar"), (f"intersection {TOLERANCE:g}", "intersection"))
    }
    events = sum(curves.found.intersection.values(), Counts()).references
    note = f"highest of {len(curves.sweep)} thresholds"
    counts = {query: [found.intersection[query] for found in curves.sweep] for query in curves.hours}
    return [
        *(Metric(f"best segment F1, {name}", value, events, None, _SCALE, True, note) for name, value in best.items()),
        try_metric(
            "events found over false alarms (PSDS-like)",
            events,
            lambda: detection_area(counts, curves.hours),
            scale=_SCALE,
            higher_is_better=True,
            note=f"mean share of events found at 0 to {MOST_FALSE_PER_HOUR:g} false segments an hour, per query",
        ),
    ]


def _fitted(curves: Curves) -> Curves:
    """The same curves as probabilities, by the logistic function that fits them best: monotone, so ranks remain."""
    scores, truth = (np.concatenate([getattr(each, name) for each in curves.scored]) for name in ("scores", "truth"))
    rng = np.random.default_rng(0)
    sides = [np.flatnonzero(truth == side) for side in (True, False)]
    count = min(_FITTED_ON, *map(len, sides))
    if not count:
        return curves
    chosen = np.concatenate([rng.choice(side, count, replace=False) for side in sides])
    scale, bias = fit_sigmoid(scores[chosen], truth[chosen])
    # a score of 0 is silence, not a cosine
    answers = [
        replace(
            each,
            curves=np.where(each.curves > 0, 1 / (1 + np.exp(-(scale * each.curves + bias))), 0).astype(np.float32),
        )
        for each in curves.answers
    ]
    return replace(curves, answers=answers)


def _times(spans: Sequence[Span]) -> str:
    return "; ".join(f"{start:.2f}–{end:.2f}" for start, end in spans)
