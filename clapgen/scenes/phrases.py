"""What a clip can be called in a sentence: names, noun phrases, clauses from its captions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from clapgen.data.text import label_key, read_text
from clapgen.scenes.clips import SceneClip
from clapgen.scenes.forms import HELD_OUT_WORDS
from clapgen.wording.clauses import noun_phrase_is_plural, parse_clause
from clapgen.wording.grammar import clean_label, lower_first

TABLE = Path(__file__).with_name("phrases.tsv")

# A caption that already says something of what a scene is about would contradict the scene.
_ORDER = r"then|before|after\w*|follow\w*|next|finally|first"
_LEVEL = r"loud\w*|soft\w*|quiet\w*|faint\w*|background|distan\w*|far|near\w*|close (?:by|to|up)|strong\w*|gent\w*"
_COUNT = (
    r"once|twice|times|single|double|one|two|three|four|five|several|many|few|some|repeat\w*|again|continu\w*|series"
    r"|multiple|quick\w*|group|chorus"
)
_LENGTH = r"short\w*|long\w*|brief\w*|quick\w*|continu\w*|constant\w*|steady|steadily|sudden\w*|burst\w*|single"
_CLASHES = {
    "sequence": re.compile(rf"\b(?:{_ORDER}|while|only)\b", re.IGNORECASE),
    "overlap": re.compile(rf"\b(?:{_ORDER}|while|only)\b", re.IGNORECASE),
    "background": re.compile(rf"\b(?:{_ORDER}|{_LEVEL}|while)\b", re.IGNORECASE),
    "repeated": re.compile(rf"\b(?:{_ORDER}|{_COUNT}|while)\b", re.IGNORECASE),
    "duration": re.compile(rf"\b(?:{_ORDER}|{_LENGTH}|{_COUNT}|while)\b", re.IGNORECASE),
    "distance": re.compile(rf"\b(?:{_LEVEL}|echo\w*|reverb\w*|hall|while)\b", re.IGNORECASE),
}
_HELD_OUT = re.compile(rf"\b(?:{'|'.join(HELD_OUT_WORDS)})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Phrases:
    """Ways to say what a clip is.

    Attributes:
        bare: Names without article: "dog", "dog bark".
        deniable: What can follow "no": "dog", "dog barking".
        nouns: Noun phrases: "a dog barking", "rain".
        clauses: Captions, whether noun phrases or sentences: "a dog barks nearby". May be empty.
    """

    bare: tuple[str, ...]
    deniable: tuple[str, ...]
    nouns: tuple[str, ...]
    clauses: tuple[str, ...]


def phrases_of(clip: SceneClip, kind: str) -> Phrases:
    """What `clip` can be called in a sentence about a scene of this kind."""
    clash = _CLASHES.get(kind)
    captions = [text for text in map(_as_clause, clip.captions) if not (clash and clash.search(text))]
    captions = [text for text in captions if text and not _HELD_OUT.search(text)]
    row = _row(tuple(map(label_key, clip.names)))
    bare = tuple(dict.fromkeys([clean_label(clip.names[0]), *map(clean_label, row.names)]))
    nouns = [*row.phrases, *(noun for text in captions if (noun := _as_noun(text)))]
    with_article = [noun for noun in nouns if re.match(r"(?:an?|the|some) (?!person)", noun)]
    deniable = (*bare, *(re.sub(r"^\w+ (?:sound of )?", "", noun) for noun in with_article))
    unique = (tuple(dict.fromkeys(texts)) for texts in (deniable, nouns or bare, captions))
    return Phrases(bare, *unique)


def countable(clip: SceneClip) -> bool:
    """Whether a clip is one sound that can be counted, as far as it is known."""
    if clip.sounds is not None:
        return clip.sounds == 1
    return not any(_CLASHES["repeated"].search(caption) for caption in clip.captions)


@lru_cache(maxsize=65536)
def _as_clause(caption: str) -> str:
    return lower_first(caption.strip().rstrip(".!?;, "))


@lru_cache(maxsize=65536)
def _as_noun(text: str) -> str | None:
    """The text as a noun phrase: "a dog barks" → "a dog barking"; None if it is not understood."""
    clause = parse_clause(text)
    if clause is None:
        return text if noun_phrase_is_plural(text) is not None else None
    return clause.fill("{subject} {ing}{rest}") if clause.finite else text


@dataclass(frozen=True)
class _Row:
    """A line of the table: what its names are called together."""

    names: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()


def _row(names: tuple[str, ...]) -> _Row:
    """The row of the first name all of whose names a clip has, preferably one with several."""
    rows = [row for row in _table().get(names[0], ()) if set(row.names) <= set(names)]
    return max(rows, key=lambda row: len(row.names), default=_Row())


@cache
def _table() -> dict[str, list[_Row]]:
    """Name → its rows of `phrases.tsv`."""
    table: dict[str, list[_Row]] = {}
    for line in read_text(TABLE).split("\n"):
        if line.strip() and not line.startswith("#"):
            names, _, phrases = line.partition("\t")
            for alternative in names.split(","):
                together = tuple(map(label_key, alternative.split("+")))
                table.setdefault(together[0], []).append(_Row(together, tuple(p.strip() for p in phrases.split(","))))
    return table
