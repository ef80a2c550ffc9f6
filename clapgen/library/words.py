"""Search by words: a thesaurus for the words of a query, and the fusion of two rankings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from clapgen.wording.lexicon import find_words, groups

FUSION = 60  # k of reciprocal rank fusion (Cormack et al. 2009): how much the first ranks stand out
_COMMON = frozenset("a an and as at by for from in into is its of on or sound sounds some the to with".split())  # noqa: SIM905


def word_alternatives(text: str, thesaurus: Mapping[str, Sequence[str]] | None = None) -> list[list[str]]:
    """For each word of a query, itself and the words and phrases that mean the same; common words are left out.

    Args:
        thesaurus: label → words and phrases, as from `load_synonyms`, in addition to clapgen's own words. It works both
            ways: each word of an entry stands for all of it.
    """
    words = [word for word in re.findall(r"[\w']+", text.lower()) if word not in _COMMON]
    found: list[list[str]] = []
    entries = _entries(thesaurus or {})
    for word in words:
        alternatives = [word]
        for match in find_words([word]):
            alternatives += [form for other in groups()[match.word.kind, match.word.group] for form in other.forms]
        alternatives += entries.get(word, [])
        found.append(list(dict.fromkeys(alternatives)))
    phrases = [key for key in entries if " " in key and f" {key} " in f" {' '.join(words)} "]
    return found + [[key, *entries[key]] for key in phrases]


def load_thesaurus(path: str | Path | None = None) -> dict[str, list[str]]:
    """clapgen's synonyms of sound labels and, if given, those of a user's file; see `load_synonyms`.

    Raises:
        ClapgenError: the file cannot be read or is malformed.
    """
    from clapgen.metrics.captions.synonyms import load_synonyms

    return _bundled() | (load_synonyms(path) if path is not None else {})


def fused(rankings: Sequence[Sequence[int]]) -> list[int]:
    """Ids by the sum of 1 / (60 + rank) over the rankings that have them, best first; equal ones by id.

    Reciprocal rank fusion (Cormack, Clarke and Buettcher 2009): needs no scores that can be compared.
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, id in enumerate(ranking, 1):
            scores[id] = scores.get(id, 0.0) + 1 / (FUSION + rank)
    return sorted(scores, key=lambda id: (-scores[id], id))


@cache
def _bundled() -> dict[str, list[str]]:
    from clapgen.metrics.captions.synonyms import load_synonyms

    return load_synonyms()


def _entries(thesaurus: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Each word of a thesaurus, in lower case with spaces, to the other words of its entries."""
    entries: dict[str, list[str]] = {}
    for label, words in thesaurus.items():
        every = [" ".join(text.replace("_", " ").lower().split()) for text in (label, *words)]
        for word in every:
            entries.setdefault(word, []).extend(other for other in every if other != word)
    return entries
