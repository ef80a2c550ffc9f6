"""The names of the training clips, and which of them are true of a clip, or may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from clapgen.data.manifest import Clip
from clapgen.data.text import distinct_labels
from clapgen.scenes.clips import Differences, SceneClip, scene_clip

OFTEN = 0.05  # share of the clips with one name that also have another: enough to expect it, also where it is not noted


class Names:
    """Numbers of names, by clip. A name that is neither true nor possible is of a sound that is not in the clip.

    Attributes:
        names: Distinct names (classes and labels) of the clips.
    """

    def __init__(self, clips: Sequence[Clip], class_field: str) -> None:
        self.class_field = class_field
        every = [self._facts(clip) for clip in clips]
        facts = dict.fromkeys(every)
        self.names = distinct_labels(name for fact in facts for name in fact.names)
        self._numbers = {name: number for number, name in enumerate(self.names)}
        self._key = {name.casefold(): number for name, number in self._numbers.items()}
        self._places = {fact: place for place, fact in enumerate(facts)}
        self._named = [SceneClip((name,), (), 1.0) for name in self.names]
        self._differences = Differences([*facts, *self._named])
        self._often = self._found_together(every)
        self._possible: dict[SceneClip, frozenset[int]] = {}

    def true_of(self, clip: Clip) -> list[int]:
        """The class and labels of a clip, as far as training clips have them."""
        return self._true(self._facts(clip))

    def possible(self, clip: Clip) -> frozenset[int]:
        """The true names and those that may be true as well: the same in other words, or more or less exactly; what its
        captions mention; what clips of its names often have."""
        fact = self._facts(clip)
        if fact not in self._possible:
            if fact in self._places:
                differences, place, first = self._differences, self._places[fact], len(self._places)
            else:  # an event of a clip that is a scene
                differences, place, first = Differences([fact, *self._named]), 0, 1
            same = (n for n in range(len(self.names)) if not differences.differ(place, first + n))
            self._possible[fact] = frozenset(same).union(*(self._often[n] for n in self._true(fact)))
        return self._possible[fact]

    def _found_together(self, facts: Sequence[SceneClip]) -> list[set[int]]:
        """For each name, those that at least the share `OFTEN` of its clips have."""
        pairs = Counter(pair for fact in facts for pair in product(self._true(fact), repeat=2))
        often: list[set[int]] = [set() for _ in self.names]
        for (one, other), count in pairs.items():
            if count >= OFTEN * pairs[one, one]:
                often[one].add(other)
        return often

    def _true(self, fact: SceneClip) -> list[int]:
        return [self._key[name.casefold()] for name in fact.names if name.casefold() in self._key]

    def _facts(self, clip: Clip) -> SceneClip:
        return replace(scene_clip(clip, 1.0, self.class_field), recording=None)
