"""Small rules of English that sentences about sounds need: articles, capitals, lists."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Proper names that spelling does not reveal; acronyms (TV, DJ) and two-word names (Big Ben) are found by theirs.
_PROPER_WORDS = """
    african american arabic asian australian british caribbean celtic chinese christmas dutch easter english european
    french german halloween hawaiian hindi indian irish italian japanese korean latin london mexican paris portuguese
    russian scottish spanish swedish swiss tibetan turkish monday tuesday wednesday thursday friday saturday sunday
    january february april june july august september october november december morse doppler tesla god
"""
_PROPER = frozenset(_PROPER_WORDS.split())
_AN_DESPITE_CONSONANT = re.compile(r"(hour|honest|honou?r|heir)", re.IGNORECASE)
_A_DESPITE_VOWEL = re.compile(r"(uni(?![dmn])|us[aeiu]|ut[ei]|eu|ew|one\b|once\b|ukulele|urin)", re.IGNORECASE)
_LETTERS_SAID_WITH_VOWEL = "AEFHILMNORSX"
_OPENERS = frozenset({"A", "An", "The", "Some", "Several", "Many", "Two", "Three", "Someone", "In", "On", "At", "This"})


def clean_label(label: str) -> str:
    """`"Door_wood_knock"` -> `"door wood knock"`; acronyms and proper names keep their capitals."""
    words = label.replace("_", " ").split()
    return " ".join(word if _keeps_capital(word) else word[0].lower() + word[1:] for word in words)


def join_labels(labels: Sequence[str]) -> str:
    """`["rain", "wind", "thunder"]` -> `"rain, wind and thunder"`, cleaned and without repetitions."""
    words = list(dict.fromkeys(clean for label in labels if (clean := clean_label(label))))
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def with_article(phrase: str) -> str:
    """`"engine"` -> `"an engine"`, `"uniform"` -> `"a uniform"`, `"FM radio"` -> `"an FM radio"`."""
    first = phrase.split(maxsplit=1)[0] if phrase.strip() else ""
    if len(first) > 1 and first.isupper():
        vowel = first[0] in _LETTERS_SAID_WITH_VOWEL
    elif _AN_DESPITE_CONSONANT.match(first):
        vowel = True
    else:
        vowel = first[:1].lower() in tuple("aeiou") and not _A_DESPITE_VOWEL.match(first)
    return f"{'an' if vowel else 'a'} {phrase}"


def lower_first(sentence: str) -> str:
    """Lower-case the first letter, unless the sentence starts with an acronym, a proper name or "I"."""
    words = sentence.split(maxsplit=2)
    if not words or _keeps_capital(words[0]):
        return sentence
    two_word_name = len(words) > 1 and words[1][0].isupper() and not _is_acronym(words[1]) and words[0] not in _OPENERS
    return sentence if two_word_name else sentence[0].lower() + sentence[1:]


def _keeps_capital(word: str) -> bool:
    bare = re.split(r"['’-]", word.strip('.,;:!?"()'), maxsplit=1)[0]
    return bare == "I" or _is_acronym(bare) or bare.lower() in _PROPER


def _is_acronym(word: str) -> bool:
    return sum(letter.isupper() for letter in word) > 1
