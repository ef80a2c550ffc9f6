"""Order and overlap tests composed from labelled clips, by joining and mixing them (after CompA and ZSTE)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from clapgen.audio import peak_normalise
from clapgen.data.text import readable_label
from clapgen.errors import ClapgenError

Waveform = npt.NDArray[np.float32]
Kind = Literal["order", "added", "exchanged"]

ORDER_TEMPLATE = "This is a sound of {first}, then {second}."
OVERLAP_TEMPLATE = "This is a sound of {first} and {second} at once."
SINGLE_TEMPLATE = "This is a sound of {first}."
BOTH_TEMPLATE = "This is a sound of {first} and {second}."
ABSENCE_TEMPLATES = ("This is a sound without {first}.", "There is no {first} in this sound.")
BEFORE_TEMPLATES = ("This is a sound of {first} before {second}.",)
UNSEEN_ORDER_TEMPLATES = ("This is a sound of {first} followed by {second}.", "{first} prior to {second}.")
_FADE = 0.01  # seconds at every cut, to avoid clicks
_FRAME = 0.02  # seconds over which power is measured
_ACTIVE = 1e-3  # frames above this share of the loudest frame's power (−30 dB) count as sound


@dataclass(frozen=True)
class CompositionItem:
    """Two sounds and their captions, to be composed from the clips of different classes at the indices `clips`.

    order: (A, B) gives "A, then B" and "B, then A". added: (A, B) gives "A and B at once" and "A".
    exchanged: (A, B, C) gives "A and B at once" and "C and B at once".
    """

    kind: Kind
    clips: tuple[int, ...]
    labels: tuple[str, ...]
    captions: tuple[str, str]

    def waveforms(
        self, clips: Sequence[Waveform], sample_rate: int, seconds: float | None = 5.0
    ) -> tuple[Waveform, Waveform]:
        """The two sounds, from the waveforms (samples,) of this item's `clips` in their order.

        Args:
            sample_rate: Hz of all of them.
            seconds: maximum length of each sound. Should be the window of a model that averages windows, since such a
                model cannot tell the order of events in different windows. None keeps whole clips.

        Raises:
            ClapgenError: a clip is silent, or the number of clips is not that of the item.
        """
        if len(clips) != len(self.clips):
            raise ClapgenError(f"This item needs {len(self.clips)} clips, not {len(clips)}.")
        parts = [at_equal_loudness(clip, sample_rate, f"clip {i}") for clip, i in zip(clips, self.clips, strict=True)]
        if self.kind == "order":
            first, second = (_loudest(part, _samples(seconds, sample_rate, 2)) for part in parts)
            return joined(first, second, sample_rate), joined(second, first, sample_rate)
        length = min(len(part) for part in parts)
        parts = [_loudest(part, min(length, _samples(seconds, sample_rate, 1) or length)) for part in parts]
        other = parts[0] if self.kind == "added" else parts[2] + parts[1]
        return peak_normalise(parts[0] + parts[1]), peak_normalise(other)


def order_items(
    labels: Sequence[str], count: int, *, seed: int = 0, template: str = ORDER_TEMPLATE
) -> list[CompositionItem]:
    """`count` items "A, then B" against "B, then A" from clips of two different classes each.

    Classes are drawn uniformly, then a clip of each; the same labels, count and seed give the same items.

    Args:
        labels: the class of each clip; underscores become spaces in captions.
        template: with {first} and {second}.

    Raises:
        ClapgenError: fewer than 2 classes, fewer than 1 item, a template without its placeholders.
    """
    items = []
    for clips in _draw(labels, count, 2, seed):
        a, b = (labels[i] for i in clips)
        captions = _fill(template, first=a, second=b), _fill(template, first=b, second=a)
        items.append(CompositionItem("order", clips, (a, b), captions))
    return items


def overlap_items(
    labels: Sequence[str],
    count: int,
    *,
    kind: Literal["added", "exchanged"] = "exchanged",
    seed: int = 0,
    template: str = OVERLAP_TEMPLATE,
    single_template: str = SINGLE_TEMPLATE,
) -> list[CompositionItem]:
    """`count` items "A and B at once" against "C and B at once" (`exchanged`) or against "A" alone (`added`).

    Clips are mixed at equal loudness, and both sounds of an item have the same peak. Drawn as in `order_items`.

    Raises:
        ClapgenError: too few classes (2 for `added`, 3 for `exchanged`), fewer than 1 item, a template without its
            placeholders.
    """
    items = []
    for clips in _draw(labels, count, 2 if kind == "added" else 3, seed):
        a, b, *rest = (labels[i] for i in clips)
        other = _fill(template, first=rest[0], second=b) if rest else _fill(single_template, first=a)
        items.append(CompositionItem(kind, clips, (a, b, *rest), (_fill(template, first=a, second=b), other)))
    return items


@dataclass(frozen=True)
class Preference:
    """The clip or item number `sound`, a caption that is true of it, and one that is not."""

    sound: int
    right: str
    wrong: str


def absence_items(labels: Sequence[str], count: int, *, seed: int = 0) -> list[Preference]:
    """`count` clips, each with "a sound without B", which is true, and "a sound without A", its own class.

    Each with every template of `ABSENCE_TEMPLATES`. Drawn as in `order_items`.

    Raises:
        ClapgenError: fewer than 2 classes, fewer than 1 item.
    """
    return [
        Preference(clip, *(_fill(template, first=labels[i]) for i in (other, clip)))
        for clip, other in _draw(labels, count, 2, seed)
        for template in ABSENCE_TEMPLATES
    ]


def wrong_sound_items(items: Sequence[CompositionItem]) -> list[Preference]:
    """The first sound of each item of the kind "exchanged", with "A and B", which it is, and "A and C"."""
    captions = [[_fill(BOTH_TEMPLATE, first=i.labels[0], second=i.labels[n]) for n in (1, 2)] for i in items]
    return [Preference(2 * number, *pair) for number, pair in enumerate(captions)]


def worded_order_items(items: Sequence[CompositionItem], templates: Sequence[str]) -> list[Preference]:
    """Both sounds of each item of the kind "order", with the right and the wrong order in other words."""
    found = []
    for number, item in enumerate(items):
        a, b = item.labels
        for template in templates:
            captions = _fill(template, first=a, second=b), _fill(template, first=b, second=a)
            found += [Preference(2 * number, *captions), Preference(2 * number + 1, *captions[::-1])]
    return found


def at_equal_loudness(waveform: Waveform, sample_rate: int, name: str = "clip") -> Waveform:
    """The waveform (samples,) scaled to an RMS of 0.1, not counting silence.

    Raises:
        ClapgenError: it is silent; the error mentions `name`.
    """
    frame = max(1, round(_FRAME * sample_rate))
    padded = np.pad(waveform.astype(np.float64), (0, -len(waveform) % frame))
    power = np.square(padded).reshape(-1, frame).mean(1)
    loudest = power.max(initial=0.0)
    if loudest < 1e-12:
        raise ClapgenError(f"The waveform of {name} is silent; composition tests need audible sounds.")
    rms = float(np.sqrt(power[power >= _ACTIVE * loudest].mean()))
    return (waveform * (0.1 / rms)).astype(np.float32)


def joined(first: Waveform, second: Waveform, sample_rate: int) -> Waveform:
    """`first`, then `second`, each with 10 ms fades at both ends, with a peak of −1 dB."""
    return peak_normalise(np.concatenate([_faded(first, sample_rate), _faded(second, sample_rate)]))


def _draw(labels: Sequence[str], count: int, classes: int, seed: int) -> list[tuple[int, ...]]:
    names = sorted(set(labels))
    if len(names) < classes:
        raise ClapgenError(f"These items need clips of {classes} classes; there are {len(names)}.")
    if count < 1:
        raise ClapgenError(f"There must be at least 1 item, not {count}.")
    clips = {name: [i for i, label in enumerate(labels) if label == name] for name in names}
    rng = np.random.default_rng(seed)
    draws = (rng.choice(len(names), size=classes, replace=False) for _ in range(count))
    return [tuple(clips[names[c]][rng.integers(len(clips[names[c]]))] for c in drawn) for drawn in draws]


def _loudest(waveform: Waveform, samples: int | None) -> Waveform:
    """The excerpt of that many samples with the most power."""
    if samples is None or samples >= len(waveform):
        return waveform
    power = np.concatenate([[0.0], np.square(waveform.astype(np.float64)).cumsum()])
    start = int((power[samples:] - power[:-samples]).argmax())
    return waveform[start : start + samples]


def _samples(seconds: float | None, sample_rate: int, parts: int) -> int | None:
    return None if seconds is None else max(1, round(seconds * sample_rate / parts))


def _faded(waveform: Waveform, sample_rate: int) -> Waveform:
    length = min(len(waveform) // 2, round(_FADE * sample_rate))
    ramp = np.ones(len(waveform), dtype=np.float32)
    ramp[:length] = np.linspace(0, 1, length, endpoint=False)
    return waveform * ramp * ramp[::-1]


def _fill(template: str, **labels: str) -> str:
    missing = [place for place in labels if f"{{{place}}}" not in template]
    if missing:
        raise ClapgenError(f"The template {template!r} has no {{{missing[0]}}}; put it where the label goes.")
    return re.sub(r"\{(first|second)\}", lambda match: readable_label(labels.get(match[1], match[0])), template)
