"""`locate`: where in a sound each of several queries is, with probabilities; for sounds of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from clapgen.audio.reading import LONGEST_STREAM_SECONDS, stream_audio
from clapgen.audio.silence import SilenceMeter
from clapgen.localisation.curves import CurveReader, Curves
from clapgen.localisation.probabilities import FrameProbability, frame_probability
from clapgen.localisation.queries import check_queries
from clapgen.localisation.segments import Segment, SegmentFinder, SegmentRules
from clapgen.metrics.embeddings.zero_shot import class_prompts

if TYPE_CHECKING:
    from torch import Tensor

    from clapgen.audio.decoding import Source
    from clapgen.embedders import ClapEmbedder


@dataclass(frozen=True)
class Located:
    """One query in a sound.

    Attributes:
        query: as it was given.
        segments: where it is, in order; none if it was not found.
        peak, peak_time: the highest probability, and its moment in seconds.
        mean: the mean probability over the whole sound.
    """

    query: str
    segments: list[Segment]
    peak: float
    peak_time: float
    mean: float


@dataclass(frozen=True)
class Location:
    """What was found in a sound of `seconds`; `note` says in words how the sound is silent, if it is."""

    seconds: float
    queries: list[Located]
    note: str = ""


def ignore(*_: object) -> None:
    """Do nothing."""


def locate(
    clap: ClapEmbedder,
    source: Source,
    queries: Sequence[str],
    threshold: float | None = None,
    *,
    rules: SegmentRules | None = None,
    template: str | None = None,
    probability: FrameProbability | None = None,
    max_seconds: float = LONGEST_STREAM_SECONDS,
    on_audio: Callable[[npt.NDArray[np.float32]], None] = ignore,
    on_curves: Callable[[Curves, float], None] = ignore,
) -> Location:
    """Find where in a sound the queries are. It is read once, in bounded memory.

    Args:
        source: a path, "-" for standard input, bytes or a binary file object, as for `read_audio`.
        queries: what to look for, such as "dog bark"; any number.
        threshold: the probability, 0 to 1, from which on a sound counts as found; the model's own by default.
        rules: also the shortest segment and the longest gap; instead of `threshold`.
        template: the prompt with {label} for a query; by default the one that the probabilities were fitted with.
        probability: how cosines become probabilities, instead of `frame_probability(clap)`.
        max_seconds: refuse longer sounds.
        on_audio: called with each piece (samples,) of the sound at `clap.sample_rate` Hz, once it has been read.
        on_curves: called with each block of the curves (points, queries) and their rate in points a second.

    Raises:
        ClapgenError: a query is empty, the threshold is outside 0 to 1, or the sound cannot be read.
    """
    names = check_queries(queries)
    probability = probability or frame_probability(clap)
    rules = rules or SegmentRules(probability.threshold if threshold is None else threshold)
    texts: Tensor = clap.embed_text(class_prompts(names, template or probability.template))
    reader = CurveReader(clap, texts, probability)
    finder = SegmentFinder(rules, len(names), reader.rate)
    summary = _Summary(len(names))
    meter = SilenceMeter()
    pieces = meter.watch(stream_audio(source, reader.sample_rate, max_seconds=max_seconds))
    for curves in reader.stream(_shown(pieces, on_audio)):
        finder.add(curves)
        summary.add(curves)
        on_curves(curves, reader.rate)
    seconds = meter.samples / reader.sample_rate
    found = finder.finish(seconds)
    located = [
        Located(
            name,
            segments,
            float(summary.peak[index]),
            min(seconds, float(summary.peak_point[index]) / reader.rate),
            float(summary.sum[index] / summary.points),
        )
        for index, (name, segments) in enumerate(zip(names, found, strict=True))
    ]
    return Location(seconds, located, meter.note())


class _Summary:
    """Highest point and sum of curves that are given block by block."""

    def __init__(self, queries: int) -> None:
        self.points, self.sum = 0, np.zeros(queries)
        self.peak, self.peak_point = np.full(queries, -1.0), np.zeros(queries, dtype=np.int64)

    def add(self, curves: Curves) -> None:
        if not len(curves):
            return
        best = curves.argmax(0)
        value = curves[best, np.arange(curves.shape[1])]
        self.peak_point = np.where(value > self.peak, self.points + best, self.peak_point)
        self.peak = np.maximum(self.peak, value)
        self.sum += curves.sum(0, dtype=np.float64)
        self.points += len(curves)


def _shown(
    pieces: Iterator[npt.NDArray[np.float32]], on_audio: Callable[[npt.NDArray[np.float32]], None]
) -> Iterator[npt.NDArray[np.float32]]:
    for piece in pieces:
        on_audio(piece)
        yield piece
