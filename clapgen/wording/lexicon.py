"""The words that captions can exchange for each other, with their regular and irregular forms.

`words.tsv` has two columns of words: those that training uses, and those that are held out for evaluation. The reader
of a caption knows both; only the writer chooses from one of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from clapgen.data.text import read_text

TABLE = Path(__file__).with_name("words.tsv")

TRAINING, HELD_OUT = 0, 1  # columns of the table


@dataclass(frozen=True)
class Word:
    """A word or phrase in all its forms; `group` is the first word of its line, equal for words that mean the same.

    `forms` are: of a noun singular and plural; of a verb base, third person, participle in -ing, past, past participle;
    of a phrase itself.
    """

    kind: str
    group: str
    column: int
    forms: tuple[str, ...]


@dataclass(frozen=True)
class Match:
    """`word` in its form number `form`, at the words `start` to `end` of a caption."""

    word: Word
    form: int
    start: int
    end: int


@cache
def groups() -> dict[tuple[str, str], list[Word]]:
    """(kind, group) → its words."""
    result: dict[tuple[str, str], list[Word]] = {}
    for line in read_text(TABLE).split("\n"):
        if not line.strip() or line.startswith("#"):
            continue
        kind, *columns = line.split("\t")
        given = [[word.strip() for word in column.split(",")] for column in columns]
        group = given[0][0].split("/")[0]
        for column, words in enumerate(given):
            result.setdefault((kind, group), []).extend(Word(kind, group, column, _forms(kind, w)) for w in words if w)
    return result


@cache
def _index() -> dict[str, list[tuple[tuple[str, ...], Word, int]]]:
    """First word → all forms that start with it, the longest first."""
    index: dict[str, list[tuple[tuple[str, ...], Word, int]]] = {}
    for words in groups().values():
        for word in words:
            for number, form in enumerate(word.forms):
                parts = tuple(form.split())
                index.setdefault(parts[0], []).append((parts, word, number))
    for entries in index.values():
        entries.sort(key=lambda entry: -len(entry[0]))
    return index


def find_words(words: Sequence[str]) -> list[Match]:
    """The entries of the table in a caption's lower-case words, from left to right, the longest at each place.

    A place where both a noun and a verb fit, or two forms of a verb, has a match for each.
    """
    index = _index()
    matches: list[Match] = []
    start = 0
    while start < len(words):
        here = [
            Match(word, form, start, start + len(parts))
            for parts, word, form in index.get(words[start], ())
            if tuple(words[start : start + len(parts)]) == parts
        ]
        longest = max((match.end for match in here), default=start + 1)
        matches += [match for match in here if match.end == longest]
        start = longest
    return matches


def alternatives(word: Word, column: int) -> list[Word]:
    """Other words of the same group, of one column of the table."""
    return [other for other in groups()[word.kind, word.group] if other.column == column and other != word]


def _forms(kind: str, entry: str) -> tuple[str, ...]:
    base, *irregular = entry.split("/")
    if kind == "phrase" or kind == "mass":
        return (base,)
    if kind == "noun":
        return base, irregular[0] if irregular else _plural(base)
    first, space, particle = base.partition(" ")
    past = irregular[0] if irregular else _with_ending(first, "ed") + space + particle
    participle = irregular[1] if len(irregular) > 1 else past
    return base, _plural(first) + space + particle, _with_ending(first, "ing") + space + particle, past, participle


def _plural(word: str) -> str:
    """Also the third person of a verb."""
    if word == "go":
        return "goes"
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + ("es" if re.search(r"([sxz]|ch|sh|echo)$", word) else "s")


_DOUBLED = re.compile(r"[^aeiou]*(?:[aeiou]|qu[aeiou])[bdgklmnprtvz]")


def _with_ending(word: str, ending: str) -> str:
    if ending == "ed" and re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ied"
    if word.endswith("e") and not word.endswith(("ee", "oe", "ye")):
        return word[:-1] + ending
    return word + (word[-1] if _DOUBLED.fullmatch(word) else "") + ending
