"""From probability curves to segments: a threshold with hysteresis, short gaps closed, short segments dropped."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from clapgen.errors import ClapgenError

MIN_SECONDS = 0.2
MAX_GAP = 0.4
HYSTERESIS = 0.8  # a segment lasts while the probability is above this share of the threshold


@dataclass(frozen=True)
class Segment:
    """Where a sound was found: `start` and `end` in seconds, the mean and the highest probability in between."""

    start: float
    end: float
    probability: float
    peak: float


@dataclass(frozen=True)
class SegmentRules:
    """What makes a segment.

    A segment is where the probability stays at or above `hysteresis * threshold`, if it reaches `threshold` there (as
    in Canny 1986). Segments no further apart than `max_gap` seconds are joined; those shorter than `min_seconds` are
    dropped.

    Raises:
        ClapgenError: a threshold outside 0 to 1, or negative seconds.
    """

    threshold: float
    min_seconds: float = MIN_SECONDS
    max_gap: float = MAX_GAP
    hysteresis: float = HYSTERESIS

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ClapgenError(f"the threshold is a probability, from 0 to 1, not {self.threshold:g}.")
        for name, value in (("shortest segment", self.min_seconds), ("longest gap", self.max_gap)):
            if not 0 <= value < math.inf:
                raise ClapgenError(f"the {name} must be 0 or more seconds, not {value:g}.")


class SegmentFinder:
    """Finds the segments of several curves at once, which are given block by block."""

    def __init__(self, rules: SegmentRules, queries: int, rate: float) -> None:
        self._rules, self._rate = rules, rate
        self._frames = 0  # so far
        self._open: list[_Run | None] = [None] * queries  # runs that reach the end of what was given
        self._found: list[list[_Run]] = [[] for _ in range(queries)]

    def add(self, curves: npt.NDArray[np.float32]) -> None:
        """Add the next block of probabilities (frames, queries), `rate` frames a second."""
        for query, runs in enumerate(_runs(curves, self._rules.hysteresis * self._rules.threshold, self._frames)):
            before, self._open[query] = self._open[query], None
            if before is not None:
                if runs and runs[0].first == self._frames:
                    runs[0] = before.joined(runs[0])
                else:
                    runs.insert(0, before)
            if runs and runs[-1].last == self._frames + len(curves) - 1:
                self._open[query] = runs.pop()
            for run in runs:
                self._keep(query, run)
        self._frames += len(curves)

    def finish(self, seconds: float) -> list[list[Segment]]:
        """The segments of each query, in order. `seconds` is how long the sound is; the last frame lasts to its end."""
        for query, run in enumerate(self._open):
            if run is not None:
                self._keep(query, run)
        return [[segment for run in runs if (segment := self._segment(run, seconds))] for runs in self._found]

    def _keep(self, query: int, run: _Run) -> None:
        if run.peak < self._rules.threshold:
            return
        found = self._found[query]
        if found and (run.first - found[-1].last - 1) / self._rate <= self._rules.max_gap:
            found[-1] = found[-1].joined(run)
        else:
            found.append(run)

    def _segment(self, run: _Run, seconds: float) -> Segment | None:
        start, end = max(0.0, (run.first - 0.5) / self._rate), min(seconds, (run.last + 0.5) / self._rate)
        if run.last == self._frames - 1:
            end = seconds
        if end - start < min(self._rules.min_seconds, seconds):  # a sound shorter than that can be found too
            return None
        return Segment(start, end, run.sum / run.count, run.peak)


def find_segments(
    curves: npt.NDArray[np.float32], rate: float, rules: SegmentRules, seconds: float | None = None
) -> list[list[Segment]]:
    """The segments of each of the curves (frames, queries), `rate` frames a second; frame k is at k / rate seconds.

    The sound lasts `seconds`; half a frame longer than to the last frame if None.
    """
    finder = SegmentFinder(rules, curves.shape[1], rate)
    finder.add(curves)
    return finder.finish((len(curves) - 0.5) / rate if seconds is None else seconds)


@dataclass(frozen=True)
class _Run:
    """Frames from `first` to `last` above the lower threshold; `sum` is of the `count` probabilities in it."""

    first: int
    last: int
    sum: float
    count: int
    peak: float

    def joined(self, other: _Run) -> _Run:
        return replace(
            self,
            last=other.last,
            sum=self.sum + other.sum,
            count=self.count + other.count,
            peak=max(self.peak, other.peak),
        )


def _runs(curves: npt.NDArray[np.float32], lowest: float, first_frame: int) -> list[list[_Run]]:
    """The runs of frames at or above `lowest` of each query."""
    frames, queries = curves.shape
    padded = np.zeros((queries, frames + 1), dtype=np.int8)  # a frame between two queries ends every run
    padded[:, :frames] = (curves >= lowest).T
    edges = np.flatnonzero(np.diff(padded.ravel(), prepend=0))
    starts, ends = edges[::2], edges[1::2]
    runs: list[list[_Run]] = [[] for _ in range(queries)]
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        query, first = divmod(start, frames + 1)
        values = curves[first : first + end - start, query]
        at = first_frame + first
        runs[query].append(
            _Run(at, at + len(values) - 1, float(values.sum(dtype=np.float64)), len(values), float(values.max()))
        )
    return runs
