"""The sounds that localisation is evaluated on, the queries asked of each, and the curves that answer them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clapgen.data.events import TimedLabel
from clapgen.data.text import label_key
from clapgen.embedders.cache import Array
from clapgen.localisation.curves import CurveReader
from clapgen.metrics.localisation.frames import ScoredCurve
from clapgen.metrics.localisation.segments import Span, merged
from clapgen.scenes.clips import same_sounds


@dataclass(frozen=True)
class KnownSound:
    """A sound whose content is known.

    Attributes:
        read: gives it as a waveform (samples,) at the model's rate.
        also: other labels that may be true of it, at times that are not known.
    """

    name: str
    events: tuple[TimedLabel, ...]
    read: Callable[[], npt.NDArray[np.float32]]
    also: tuple[str, ...] = ()

    @property
    def labels(self) -> list[str]:
        """What sounds in it, each label once."""
        return list(dict.fromkeys(event.label for event in self.events))


@dataclass(frozen=True)
class Answer:
    """The curves (points, queries) of one sound, `rate` points a second, and the truth about it.

    Attributes:
        reference: for each query, where it is.
    """

    name: str
    seconds: float
    queries: list[str]
    reference: list[list[Span]]
    curves: npt.NDArray[np.float32]
    rate: float

    def scored(self) -> list[ScoredCurve]:
        """Each curve with its truth, without silent moments: all curves are 0 there, whatever the model is."""
        times = np.arange(len(self.curves)) / self.rate
        audible = self.curves.any(axis=1)
        return [
            ScoredCurve(query, self.curves[audible, index], _inside(times, self.reference[index])[audible])
            for index, query in enumerate(self.queries)
        ]


def asked_queries(sounds: Sequence[KnownSound], absent: int, seed: int) -> list[list[str]]:
    """For each sound, its own labels and up to `absent` of the other sounds' labels, drawn at random.

    A label that may be true of a sound in other words, such as bark of one with dog bark, is not drawn.
    """
    labels = sorted({label for sound in sounds for label in sound.labels})
    keys = {label: label_key(label) for label in labels}
    same = same_sounds(list({*keys.values(), *(label_key(label) for sound in sounds for label in sound.also)}))
    asked = []
    for index, sound in enumerate(sounds):
        own = set().union(*(same[label_key(label)] for label in (*sound.labels, *sound.also)))
        others = [label for label in labels if keys[label] not in own]
        rng = np.random.default_rng([seed, index])
        drawn = rng.permutation(len(others))[:absent]
        asked.append([*sound.labels, *(others[place] for place in sorted(drawn))])
    return asked


def answer(
    sound: KnownSound,
    waveform: npt.NDArray[np.float32],
    queries: Sequence[str],
    reader: CurveReader,
) -> Answer:
    """The curves of the queries that `reader` looks for, over one sound, and where they are in truth."""
    seconds = len(waveform) / reader.sample_rate
    reference = [
        merged([(e.start, min(e.end, seconds)) for e in sound.events if e.label == query and e.start < seconds])
        for query in queries
    ]
    return Answer(sound.name, seconds, list(queries), reference, reader.read(waveform), reader.rate)


@dataclass(frozen=True)
class RawCosine:
    """The cosine itself, from 0 (opposite) to 1 (same direction): what a baseline has before it is calibrated."""

    threshold: float = 0.5
    template: str = ""
    description: str = "cosine"

    def __call__(self, frames: Tensor, texts: Tensor) -> Tensor:
        """See `clapgen.localisation.FrameProbability`."""
        return ((1 + frames @ texts.T) / 2).clamp(0, 1)


def text_rows(texts: Array, labels: Sequence[str], queries: Sequence[str]) -> Tensor:
    """The rows of the queries among embeddings (labels, dim)."""
    row = {label: index for index, label in enumerate(labels)}
    return torch.from_numpy(texts[[row[query] for query in queries]]).float()


def _inside(times: npt.NDArray[np.float64], spans: Sequence[Span]) -> npt.NDArray[np.bool_]:
    """Which moments lie in a span; of a span between two moments, the nearer one."""
    inside = np.zeros(len(times), dtype=bool)
    for start, end in spans:
        own = (times >= start) & (times < end)
        if not own.any():
            own[np.abs(times - (start + end) / 2).argmin()] = True
        inside |= own
    return inside
