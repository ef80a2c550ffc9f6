"""Absence and the ladder of composition tests: does a model know what does not sound, and how much order it can tell.

The ladder is that of zero-shot temporal evaluation (ZSTE, TeminAL, arXiv 2408.09269), each rung harder than the one
before: the class of one sound; one of two; both of two; their order; their order in words that no training scene uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from clapgen.data.text import label_key
from clapgen.embedders.cache import Array, Embedded
from clapgen.errors import ClapgenError
from clapgen.evaluation.composed_sounds import embed_items
from clapgen.evaluation.context import EvaluationContext
from clapgen.metrics.embeddings.base import ROUNDING, unit_length
from clapgen.metrics.embeddings.clap_score import bootstrap_interval
from clapgen.metrics.embeddings.composition import preferences
from clapgen.metrics.embeddings.composition_items import (
    BEFORE_TEMPLATES,
    SINGLE_TEMPLATE,
    UNSEEN_ORDER_TEMPLATES,
    CompositionItem,
    Preference,
    absence_items,
    order_items,
    worded_order_items,
    wrong_sound_items,
)
from clapgen.report.model import Metric

EXCHANGED, ORDER = "overlap, one exchanged", "order"


@dataclass
class ComposedSounds:
    """What the tests are made of: clips, and sounds that were composed of them.

    Attributes:
        clips: All clips that can be read, with their embeddings.
        audible: The rows of `clips` that are not silent.
        labels: The class of each audible clip.
        seconds, count: Length and number of items.
        composed: Items of each kind, numbered among `clips`, and the embeddings (2 · items, dim) of their sounds.
    """

    clips: Embedded
    audible: Sequence[int]
    labels: Sequence[str]
    seconds: float
    count: int
    composed: dict[str, tuple[list[CompositionItem], Array]] = field(default_factory=dict)

    @property
    def single(self) -> Array:
        """Embeddings (audible clips, dim)."""
        return self.clips.embeddings[list(self.audible)]


def absence_metrics(sounds: ComposedSounds, context: EvaluationContext) -> list[Metric]:
    """Accuracies, chance 50%: a caption with one wrong sound told from the right one; "without B" from "without A"."""
    absent = absence_items(sounds.labels, sounds.count, seed=context.seed)
    return [
        _wrong_sound("absence, one wrong sound in the caption", sounds, context),
        _preference("absence, without what is not there", absent, sounds.single, context),
    ]


def ladder_metrics(sounds: ComposedSounds, context: EvaluationContext, unseen: Sequence[str] = ()) -> list[Metric]:
    """Accuracies of the five rungs; `unseen` are the classes of the last, all if there are none.

    Raises:
        ClapgenError: fewer than two of the unseen classes have clips.
    """
    names = sorted(set(sounds.labels))
    prompts = context.embed_texts([SINGLE_TEMPLATE.format(first=name) for name in names])
    number = {name: index for index, name in enumerate(names)}
    mixtures, audio = sounds.composed[EXCHANGED]
    both = [{number[item.labels[0]], number[item.labels[1]]} for item in mixtures]
    ordered, order_audio = sounds.composed[ORDER]
    seen_order = worded_order_items(ordered, BEFORE_TEMPLATES)
    return [
        _nearest("ladder 1, class of one sound", sounds.single, prompts, [{number[a]} for a in sounds.labels], context),
        _nearest("ladder 2, one of two sounds", audio[::2], prompts, both, context),
        _wrong_sound("ladder 3, both of two sounds", sounds, context),
        _preference("ladder 4, order", seen_order, order_audio, context),
        _unseen_order(sounds, context, unseen),
    ]


def _unseen_order(sounds: ComposedSounds, context: EvaluationContext, unseen: Sequence[str]) -> Metric:
    items, audio = sounds.composed[ORDER]
    if unseen:
        wanted = set(map(label_key, unseen))
        rows = [i for i, label in enumerate(sounds.labels) if label_key(label) in wanted]
        found = {sounds.labels[i] for i in rows}
        if len(found) < 2:
            raise ClapgenError(f"--unseen needs at least two classes that have clips; {len(found)} of those named has.")
        items = order_items([sounds.labels[i] for i in rows], sounds.count, seed=context.seed)
        items = [replace(item, clips=tuple(sounds.audible[rows[clip]] for clip in item.clips)) for item in items]
        audio = embed_items(items, sounds.clips, context, "unseen order", sounds.seconds)
    name = "ladder 5, order in unseen words" + (" of unseen classes" if unseen else "")
    return _preference(name, worded_order_items(items, UNSEEN_ORDER_TEMPLATES), audio, context)


def _wrong_sound(name: str, sounds: ComposedSounds, context: EvaluationContext) -> Metric:
    items, audio = sounds.composed[EXCHANGED]
    return _preference(name, wrong_sound_items(items), audio, context)


def _preference(name: str, items: Sequence[Preference], audio: Array, context: EvaluationContext) -> Metric:
    texts = context.embed_texts([caption for item in items for caption in (item.right, item.wrong)])
    correct = preferences(audio[[item.sound for item in items]], texts[::2], texts[1::2])
    return _accuracy(name, correct, context, 1 / 2)


def _nearest(name: str, audio: Array, prompts: Array, truth: Sequence[set[int]], context: EvaluationContext) -> Metric:
    """Whether the class nearest to each sound is one of its own; ties count as wrong."""
    sounds = unit_length(audio, "audio embeddings")
    cosines = sounds @ unit_length(prompts, "prompt embeddings", width=sounds.shape[1]).T
    own = np.zeros(cosines.shape, dtype=bool)
    for row, classes in enumerate(truth):
        own[row, list(classes)] = True
    best = np.where(own, cosines, -np.inf).max(1)
    correct = best > np.where(own, -np.inf, cosines).max(1) + ROUNDING
    return _accuracy(name, correct, context, float(own.mean()))


def _accuracy(name: str, correct: npt.NDArray[np.bool_], context: EvaluationContext, chance: float) -> Metric:
    values = correct.astype(np.float64)
    interval = bootstrap_interval(values, seed=context.seed) if len(values) > 1 else None
    return Metric(
        f"{name}: accuracy", float(values.mean()), len(values), interval, "0 to 1", True, f"chance {chance:.3f}"
    )
