"""What scenes need to know of a clip, and which clips are different sounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from clapgen.audio.silence import silence_of
from clapgen.data.audio_cache import AudioCache
from clapgen.data.manifest import Clip
from clapgen.data.splits import class_of
from clapgen.data.text import distinct_labels, label_key
from clapgen.metrics.captions.synonyms import load_synonyms
from clapgen.metrics.captions.words import bases, tokenize

_FRAME = 0.02  # seconds over which power is measured
_ACTIVE = 1e-4  # frames above this share of the loudest frame's power (−40 dB) sound
_PAUSE = 0.12  # seconds; a shorter pause does not end a sound


@dataclass(frozen=True)
class SceneClip:
    """Facts about a clip from which scenes are drawn.

    Attributes:
        names: What is true of it; it is called by the first.
        captions: Sentences about it.
        seconds: How long it sounds.
        recording: What it was cut from.
        start: Second at which it starts to sound.
        sounds: How many sounds with pauses between them it has, if known.
        loudest: Second at which it is loudest, if known: every piece of the clip contains it.
    """

    names: tuple[str, ...]
    captions: tuple[str, ...]
    seconds: float
    recording: str | None = None
    start: float = 0.0
    sounds: int | None = None
    loudest: float | None = None


def scene_clip(
    clip: Clip, seconds: float, class_field: str = "", *, waveform: np.ndarray | None = None, sample_rate: int = 0
) -> SceneClip:
    """The facts about a clip of a manifest that lasts `seconds`.

    Args:
        class_field: key of the manifest that holds a clip's class, which is its first name.
        waveform: (samples,); without it the clip is taken to sound from start to end.
    """
    names = distinct_labels(name for name in (class_of(clip, class_field), *clip.labels) if name.strip())
    captions = tuple(caption.strip() for caption in clip.captions if caption.strip())
    facts = SceneClip(tuple(names), captions, seconds, clip.recording)
    return facts if waveform is None else replace(facts, **sounding(waveform, sample_rate))


def scene_clips(cache: AudioCache, class_field: str = "") -> list[SceneClip]:
    """The facts about all clips of a cache, in its order."""
    rate = cache.sample_rate
    return [
        scene_clip(clip, int(length) / rate, class_field, waveform=cache.waveform(index), sample_rate=rate)
        for index, (clip, length) in enumerate(zip(cache.clips, cache.lengths, strict=True))
    ]


def sounding(waveform: np.ndarray, sample_rate: int) -> dict[str, Any]:
    """The attributes `start`, `seconds`, `sounds` and `loudest` of a `SceneClip`, of a waveform (samples,).

    A frame of 20 ms sounds if it is less than 40 dB below the loudest. A silent waveform sounds for 0 seconds.
    """
    frame = max(1, round(_FRAME * sample_rate))
    power = np.square(np.pad(waveform, (0, -len(waveform) % frame)).astype(np.float64)).reshape(-1, frame).mean(1)
    peak = power.max(initial=0.0)
    if silence_of(waveform):
        return {"start": 0.0, "seconds": 0.0, "sounds": 0, "loudest": None}
    active = np.flatnonzero(power > _ACTIVE * peak)
    start, stop = active[0] * frame / sample_rate, min((active[-1] + 1) * frame, len(waveform)) / sample_rate
    pauses = int((np.diff(active) * frame / sample_rate > _PAUSE).sum())
    loudest = (int(power.argmax()) + 0.5) * frame / sample_rate
    return {"start": float(start), "seconds": float(stop - start), "sounds": pauses + 1, "loudest": min(loudest, stop)}


class Differences:
    """Which clips are different sounds: no name of the one is true of the other.

    Names are the same sound if one contains the words of the other, or of a synonym of it; what a caption mentions is
    true of its clip too.
    """

    def __init__(self, clips: Sequence[SceneClip]) -> None:
        names = dict.fromkeys(label_key(name) for clip in clips for name in clip.names)
        self._recordings = [clip.recording for clip in clips]
        same = same_sounds(list(names))
        index = _by_first_word((name, _words(name)) for name in names)
        known: dict[tuple[tuple[str, ...], tuple[str, ...]], frozenset[str]] = {}
        self._known: list[frozenset[str]] = []
        for clip in clips:
            key = clip.names, clip.captions
            if key not in known:
                mentioned = (n for caption in clip.captions for n in _contained(index, _words(caption)))
                known[key] = frozenset([*map(label_key, clip.names), *mentioned])
            self._known.append(known[key])
        blocked = {found: frozenset().union(*(same[name] for name in found)) for found in set(known.values())}
        self._blocked = [blocked[found] for found in self._known]

    def differ(self, first: int, second: int) -> bool:
        """Whether these clips (numbers in the list) are different sounds of different recordings."""
        recording = self._recordings[first]
        if recording is not None and recording == self._recordings[second]:
            return False
        return self._known[first].isdisjoint(self._blocked[second])


def same_sounds(names: Sequence[str]) -> dict[str, set[str]]:
    """For each name, the names that are the same sound, including itself."""
    synonyms = {label_key(label): words for label, words in load_synonyms().items()}
    words = {name: _words(name) for name in names}
    of_word: dict[str, list[str]] = {}
    for name in names:
        for word in words[name]:
            of_word.setdefault(word, []).append(name)
    same = {name: {name} for name in names}
    for name in names:
        for phrase in (words[name], *map(_words, synonyms.get(name, ()))):
            for other in of_word.get(min(phrase, default=""), ()):
                if phrase <= words[other]:
                    same[name].add(other)
                    same[other].add(name)
    return same


def _words(text: str) -> frozenset[str]:
    """The words of a text, each in its shortest form: barks and barking are bark."""
    return frozenset(min(bases(word), key=lambda base: (len(base), base)) for word in tokenize(text.replace("_", " ")))


def _by_first_word(phrases: Iterable[tuple[str, frozenset[str]]]) -> dict[str, list[tuple[str, frozenset[str]]]]:
    index: dict[str, list[tuple[str, frozenset[str]]]] = {}
    for name, words in phrases:
        index.setdefault(min(words, default=""), []).append((name, words))
    return index


def _contained(index: Mapping[str, list[tuple[str, frozenset[str]]]], words: frozenset[str]) -> list[str]:
    return [name for word in words for name, needed in index.get(word, ()) if needed <= words]
