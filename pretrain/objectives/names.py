"""The names of the training clips, and which of them are true of a clip, or may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from clapgen.data.manifest import Clip
from clapgen.data.text import distinct_labels
from clapgen.scenes.clips import Differences, SceneClip, scene_clip


class Names:
    """Numbers of names, by clip. A name that is neither true nor possible is of a sound that is not in the clip.

    Attributes:
        names: Distinct names (classes and labels) of the clips.
    """

    def __init__(self, clips: Sequence[Clip], class_field: str) -> None:
        self.class_field = class_field
        facts = dict.fromkeys(map(self._facts, clips))
        self.names = distinct_labels(name for fact in facts for name in fact.names)
        self._numbers = {name: number for number, name in enumerate(self.names)}
        self._key = {name.casefold(): number for name, number in self._numbers.items()}
        self._places = {fact: place for place, fact in enumerate(facts)}
        self._differences = Differences([*facts, *(SceneClip((name,), (), 1.0) for name in self.names)])
        self._possible: dict[SceneClip, frozenset[int]] = {}

    def true_of(self, clip: Clip) -> list[int]:
        """The class and labels of a clip."""
        return [self._key[name.casefold()] for name in self._facts(clip).names]

    def possible(self, clip: Clip) -> frozenset[int]:
        """The true ones, those that say the same in other words or more or less exactly, and those in its captions."""
        fact = self._facts(clip)
        if fact not in self._possible:
            place, first = self._places[fact], len(self._places)
            differ = self._differences.differ
            self._possible[fact] = frozenset(n for n in range(len(self.names)) if not differ(place, first + n))
        return self._possible[fact]

    def _facts(self, clip: Clip) -> SceneClip:
        return replace(scene_clip(clip, 1.0, self.class_field), recording=None)
