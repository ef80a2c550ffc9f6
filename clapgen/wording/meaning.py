"""Whether a paraphrase says the same as its source: the same labels, in the same order, as many, and none denied."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from clapgen.metrics.captions.synonyms import load_synonyms
from clapgen.metrics.captions.words import bases, tokenize
from clapgen.wording.lexicon import find_words

_NOT_AN_ORDER = re.compile(r"\b(one|time|again|over) (after|and) (another|the other|time|again|over)\b")
_FORWARD = (
    r"(?:(?:and )?then|(?:is |are )?followed \w*? ?by|before|after which|afterwards|after that|next|finally|until)"
)
_BACKWARD = r"(?:after|(?:is |are )?preceded by|following)"
_INFIX = re.compile(rf",? ?\b(?P<forward>{_FORWARD})\b,? ?|,? ?\b(?P<backward>{_BACKWARD})\b ?")
_FRONTED = re.compile(r"(?P<word>after|before|following) (?P<first>[^,]+), (?P<second>.+)")

_NEGATION = re.compile(r"\b(?:no|not|without|never|none|nobody|nothing|neither|nor|lacks)\b|n't\b")
_NEGATION_ENDS = re.compile(r"[,;.]|\b(?:but|while|as|and)\b")
_NUMBERS = "two three four five six seven eight nine ten eleven twelve"
_COUNTS = {name: number for number, name in enumerate(_NUMBERS.split(), 2)} | {"couple": 2, "pair": 2}
_PLACE = re.compile(
    r"\b(?:in|on|at|under|over|inside|near|along|through|across|onto|into|against|from|outside|behind|by|around)\b"
    r".*?(?=,| and | while | as | with |$)"
)
_TIMES = {"once": 1, "twice": 2, "thrice": 3}


@dataclass(frozen=True)
class _Step:
    """What sounds at one time: words, what is denied of them, numbers and qualifiers."""

    words: frozenset[str]
    denied: frozenset[str]
    numbers: tuple[str, ...]
    qualifiers: frozenset[str]


def keeps_meaning(source: str, paraphrase: str, synonyms: Mapping[str, Sequence[str]] | None = None) -> bool:
    """Whether a paraphrase names the same labels as its source, in the same order, with the same numbers and negations.

    A label named by its own words in one sentence must be mentioned in the other, by itself or a synonym, at the same
    place in the order of events ("A, then B" equals "B after A", not "B, then A"), denied in both or in neither.
    The same goes for any word that both sentences have. Numbers ("two", "twice", "several") and the qualifiers of
    `words.tsv` (loudly, in the background, far away) must be the same. Articles, tense and openers ("the sound of") do
    not matter. An empty sentence keeps nothing.

    Args:
        synonyms: label → words and phrases; the bundled table by default.
    """
    first, second = _steps(source), _steps(paraphrase)
    if not first or not second or len(first) != len(second):
        return False
    index = _bundled_labels() if synonyms is None else _Labels(synonyms)
    for one, other in zip(first, second, strict=True):
        if one.numbers != other.numbers or one.qualifiers != other.qualifiers:
            return False
        for mine, theirs in ((one.words, other.words), (one.denied, other.denied)):
            if not (index.named(mine) <= index.mentioned(theirs) and index.named(theirs) <= index.mentioned(mine)):
                return False
    return _same_places(first, second)


def elaborates(source: str, sentence: str) -> bool:
    """Whether a sentence says all that its source says, and adds nothing but detail.

    Every word of the source that carries meaning must be there, as another of its forms or as a synonym, at the same
    place in the order of events, denied in both or in neither, and nouns of `words.tsv` in the same number ("dog" is
    not "dogs"). The sentence may describe further (loudly, nearby, on a roof), but adds no event, number, negation or
    sound source that has a label. An empty source is elaborated by nothing.
    """
    first, second = _timeline(source), _timeline(sentence)
    if not first or len(first) != len(second):
        return False
    return all(_step_elaborates(one, other) for one, other in zip(first, second, strict=True))


def content_words(sentence: str) -> frozenset[str]:
    """The words of a sentence that carry meaning, as bases; those that mean the same are one (rain and rainfall)."""
    return _merged(tokenize(sentence))


def _merged(words: list[str]) -> frozenset[str]:
    matches = {match.start: match for match in find_words(words)}
    taken = {place for match in matches.values() for place in range(match.start, match.end)}
    others = [word for place, word in enumerate(words) if place not in taken]
    grouped = [part for match in matches.values() for part in match.word.group.split()]
    return frozenset(min(bases(word), key=len) for word in (*grouped, *others) if word not in _FUNCTION_WORDS)


def _step_elaborates(source: str, sentence: str) -> bool:
    one, other, index = _step_of(source), _step_of(sentence), _bundled_labels()
    if one.numbers != other.numbers or bool(one.denied) != bool(other.denied) or _new_sounds(sentence, one, index):
        return False
    mine, theirs = tokenize(source), tokenize(sentence)
    denied = _denied(source)
    return (
        _said(_without(mine, denied), other.words | _merged(_without(theirs, _denied(sentence))), index)
        and _said(denied, other.denied, index)
        and _same_number(mine, theirs)
    )


def _without(words: list[str], others: list[str]) -> list[str]:
    return list((Counter(words) - Counter(others)).elements()) if others else words


def _new_sounds(sentence: str, said: _Step, index: _Labels) -> set[str]:
    """Labels that a sentence adds. What something does (sings, roars) and where it is (on grass) is only detail."""
    named = index.named(_step_of(_PLACE.sub("", sentence)).words) - index.mentioned(said.words)
    return {label for label in named if said.words.isdisjoint(label.split()) and not _is_verb(label)}


def _is_verb(label: str) -> bool:
    return any(match.word.kind in ("verb", "transitive") for match in find_words([label]))


def _said(words: list[str], there: frozenset[str], index: _Labels) -> bool:
    """Whether each word is among those `there`, by itself, by its group or by a label of which there is a synonym."""
    named = index.named(_content(words)) & index.mentioned(there)
    return _merged(words) <= there | {word for label in named for word in label.split()}


def _same_number(words: list[str], others: list[str]) -> bool:
    here, there = _number_of_nouns(words), _number_of_nouns(others)
    return all(forms & there[noun] for noun, forms in here.items() if noun in there)


def _number_of_nouns(words: list[str]) -> dict[str, set[int]]:
    numbers: dict[str, set[int]] = {}
    for match in find_words(words):
        if match.word.kind == "noun":
            same = len(set(match.word.forms)) == 1  # sheep
            numbers.setdefault(match.word.group, set()).update({0, 1} if same else {match.form})
    return numbers


def _same_places(first: list[_Step], second: list[_Step]) -> bool:
    """Whether the words that both sentences have are in the same steps, denied in both or in neither."""
    mine, theirs = _places(first), _places(second)
    common = {word for word, *_ in mine} & {word for word, *_ in theirs}
    return {place for place in mine if place[0] in common} == {place for place in theirs if place[0] in common}


def _places(steps: list[_Step]) -> set[tuple[str, int, bool]]:
    said = {(word, number, False) for number, step in enumerate(steps) for word in step.words}
    return said | {(word, number, True) for number, step in enumerate(steps) for word in step.denied}


@lru_cache(maxsize=65536)
def _step_of(text: str) -> _Step:
    words = tokenize(text)
    denied = _denied(text)
    matches = find_words(words)
    qualifiers = {m.word.group for m in matches if m.word.kind == "phrase"} - {"someone"}
    numbers = []
    for position, word in enumerate(words):
        if word in _TIMES:
            numbers.append(f"{_TIMES[word]} times")
        elif word in _COUNTS or word.isdigit():
            times = words[position + 1 : position + 2] == ["times"]
            numbers.append(f"{_COUNTS.get(word, word)}{' times' if times else ''}")
    return _Step(_content(_without(words, denied)), _content(denied), tuple(sorted(numbers)), frozenset(qualifiers))


def _denied(text: str) -> list[str]:
    """The words behind each negation, up to the end of its clause."""
    words: list[str] = []
    for match in _NEGATION.finditer(text):
        words += tokenize(_NEGATION_ENDS.split(text[match.end() :], maxsplit=1)[0])
    return words


_WORDS_WITHOUT_CONTENT = """
    a an the of in on at to by from with into and or as while is are was were be being been it its this that there can
    sound noise sounds noises heard hear recording audio you we someone somebody person something no not without never
    for his her their off out up what one listen get gets sound sounds clip
"""
_FUNCTION_WORDS = frozenset(_WORDS_WITHOUT_CONTENT.split())


def _content(words: Sequence[str]) -> frozenset[str]:
    """The shortest base of each word that carries meaning (barks and barking are both bark), and of its group."""
    groups = [part for match in find_words(words) if match.word.kind != "phrase" for part in match.word.group.split()]
    return frozenset(min(bases(word), key=len) for word in (*words, *groups) if word not in _FUNCTION_WORDS)


@lru_cache(maxsize=65536)
def _timeline(text: str) -> tuple[str, ...]:
    """The parts of a sentence in the order in which they sound."""
    text = _NOT_AN_ORDER.sub("repeatedly", text.lower()).strip(" .!?;,")
    text = re.sub(r"^(at )?first,? ", "", text)
    if fronted := _FRONTED.fullmatch(text):
        early, late = fronted["first"], fronted["second"]
        if fronted["word"] == "before":
            early, late = late, early
        return (*_timeline(early), *_timeline(late))
    parts, position, end = [""], 0, 0
    for match in _INFIX.finditer(text):
        parts[position] = text[end : match.start()]
        position += 1 if match["forward"] else 0
        parts.insert(position, "")
        end = match.end()
    parts[position] = text[end:]
    return tuple(part for part in parts if part.strip(" ,"))


def _steps(text: str) -> list[_Step]:
    return [_step_of(part) for part in _timeline(text)]


class _Labels:
    """Labels and their synonyms, to be found in the content words of a sentence."""

    def __init__(self, synonyms: Mapping[str, Sequence[str]]) -> None:
        self._names: dict[str, list[tuple[str, frozenset[str]]]] = {}
        self._phrases: dict[str, list[tuple[str, frozenset[str]]]] = {}
        for label, phrases in synonyms.items():
            name = _content(tokenize(label.replace("_", " ")))
            for index, texts in ((self._names, [label]), (self._phrases, [label, *phrases])):
                for text in texts:
                    words = _content(tokenize(text.replace("_", " ")))
                    if words:
                        index.setdefault(min(words), []).append((" ".join(sorted(name)), words))

    def named(self, words: frozenset[str]) -> set[str]:
        """Labels whose own words are all there."""
        return {label for word in words for label, needed in self._names.get(word, ()) if needed <= words}

    def mentioned(self, words: frozenset[str]) -> set[str]:
        """Labels that are there by their own words or by a synonym."""
        return {label for word in words for label, needed in self._phrases.get(word, ()) if needed <= words}


@cache
def _bundled_labels() -> _Labels:
    return _Labels(load_synonyms())
