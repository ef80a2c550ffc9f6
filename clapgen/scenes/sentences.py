"""Sentences about the sounds of a scene, all of one style, so that two of them differ only in what they say."""

from __future__ import annotations

from collections.abc import Callable

from clapgen.scenes.draws import Draws
from clapgen.scenes.forms import ANY, NOUNS, TIMES
from clapgen.scenes.phrases import Phrases

_PLACES = "abc"
_CLAUSES = 0.5  # share of styles whose phrases are captions of the clips
_BARE = 0.35  # share of noun phrases that are names without article
_STOP = 0.4  # share of styles with a full stop
_PLAIN_FORMS = 3  # how many forms of a relation come first in `ANY` because they are plain


class Style:
    """One way to say things: a form for each relation, a phrase for each clip, with or without full stop.

    `phrases` gives what a clip can be called, by its number. `position` (0 to 1) chooses the form. A share `plain` of
    the styles calls clips by their first names, in the plainest forms: what is to be learned first.
    """

    def __init__(self, draws: Draws, phrases: Callable[[int], Phrases], position: float, plain: float = 0.0) -> None:
        self._draws, self._phrases, self._position = draws, phrases, position
        self._plain = draws.chance(plain)
        self._clauses = draws.chance(_CLAUSES)
        self._stop = "." if draws.chance(_STOP) else ""
        self._chosen: dict[int, str] = {}

    def say(self, relation: str, *clips: int, count: int = 1, but_no: int | None = None) -> str:
        """The sentence that clips, in this order, are in this relation (a key of `ANY`); optionally with an absent one.

        `count` is the number of times for "repeated".
        """
        key = f"{relation} {len(clips)}" if relation in ("sequence", "overlap") else relation
        forms = ANY[key] if self._clauses or self._plain else (*NOUNS.get(key, ()), *ANY[key])
        forms = forms[:_PLAIN_FORMS] if self._plain else forms
        parts = {place: self._phrase(clip) for place, clip in zip(_PLACES, clips, strict=False)}
        text = self._of(forms).format(**parts, times=self._of(TIMES[count]))
        if but_no is not None:
            text = self._of(ANY["but no"]).format(text=text, x=self._deniable(but_no))
        return self._finished(text)

    def deny(self, clip: int) -> str:
        """The sentence that there is no such sound."""
        return self._finished(self._of(ANY["absence"]).format(x=self._deniable(clip)))

    def _of(self, forms: tuple[str, ...]) -> str:
        return forms[int(self._position * len(forms))]

    def _phrase(self, clip: int) -> str:
        if clip not in self._chosen:
            phrases = self._phrases(clip)
            if self._plain:
                choices = phrases.bare[:1]
            elif self._clauses and phrases.clauses:
                choices = phrases.clauses
            else:
                choices = phrases.bare if self._draws.chance(_BARE) else phrases.nouns
            self._chosen[clip] = self._draws.pick(choices)
        return self._chosen[clip]

    def _deniable(self, clip: int) -> str:
        phrases = self._phrases(clip)
        return phrases.bare[0] if self._draws.chance(0.6) else self._draws.pick(phrases.deniable)

    def _finished(self, text: str) -> str:
        return text[:1].upper() + text[1:] + self._stop
