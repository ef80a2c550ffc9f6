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
from clapgen.metrics.captions.synonyms import load_synonyms
from clapgen.metrics.captions.words import tokenize
from clapgen.metrics.localisation.frames import ScoredCurve
from clapgen.metrics.localisation.segments import Span, merged

_SMALL_WORDS = frozenset(
    ["a", "an", "and", "at", "by", "for", "from", "in", "into", "of", "on", "or", "the", "to", "with"]
)


@dataclass(frozen=True)
class KnownSound:
    """A sound whose content is known: `read` gives it as a waveform (samples,) at the model's rate."""

    name: str
    events: tuple[TimedLabel, ...]
    read: Callable[[], npt.NDArray[np.float32]]

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
        """Each curve with its truth."""
        times = np.arange(len(self.curves)) / self.rate
        return [
            ScoredCurve(query, self.curves[:, index], _inside(times, self.reference[index]))
            for index, query in enumerate(self.queries)
        ]


def asked_queries(sounds: Sequence[KnownSound], absent: int, seed: int) -> list[list[str]]:
    """For each sound, its own labels and up to `absent` of the other sounds' labels, drawn at random.

    A label that shares a word or a synonym with one of the sound's own, such as bark and dog bark, may be true of it,
    and is not drawn.
    """
    labels = sorted({label for sound in sounds for label in sound.labels})
    words = {label: _names(label) for label in labels}
    asked = []
    for index, sound in enumerate(sounds):
        own = set().union(*(words[label] for label in sound.labels))
        others = [label for label in labels if not words[label] & own]
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


def _names(label: str) -> frozenset[str]:
    """The words of a label and its synonyms of one word."""
    synonyms = _SYNONYMS.get(label_key(label)) or []
    single = [word for each in synonyms if len(word := tokenize(each)) == 1]
    words = {*tokenize(label), *(word[0] for word in single)} - _SMALL_WORDS
    return frozenset(words or {label_key(label)})


_SYNONYMS = {label_key(label): words for label, words in load_synonyms().items()}
