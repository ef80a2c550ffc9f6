"""The words of a caption: a Penn Treebank tokenizer, and a rule that treats barks, barking and barked as one word.

Captions are usually scored on the tokens of Stanford's PTBTokenizer (Java), lower-cased and without punctuation.
`tokenize` does the same in Python: of 84,550 sentences (AudioCaps, Clotho, SoundBible, the AudioSet ontology and our
own), all but 68 give the tokens of CoreNLP 3.4.1 with pycocoevalcap's list of punctuation; 66 of the 68 have brackets.
It differs on purpose:

- brackets are removed; the Java version lower-cases them to `-lrb-`, which the list of punctuation (`-LRB-`) misses;
- runs of punctuation (`!!`, `?!`) and pictograms are removed;
- combining accents are joined with their letter.

It is simpler: it keeps a full stop only in the abbreviations below and in joined initials (`u.s.`), drops leading
apostrophes (`'n'`), and splits URLs and markup like other text.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_ABBREVIATION = r"(?:mr|mrs|ms|dr|prof|st|jr|sr|vs|etc|approx)\.(?!\w) | (?:[a-z]\.){2,}(?!\w)"
_CHUNK = re.compile(
    rf"""
      {_ABBREVIATION}                      # mr.  u.s.
    | [-+]?\d+(?:[.,:/]\d+)+               # 1,000  5:30  -1/2
    | '\d0s                                # the '90s
    | (?:[-+](?=\d))?\w+(?:[-'/&.@]\w+)*   # dog  high-pitched  and/or  r&b  it's  o'clock  -5
    | [%$#&*+=@/|]                         # symbols read as words
    """,
    re.VERBOSE,
)
_ENDING = re.compile(r"(.+)(n't|'(?:s|m|d|re|ve|ll))")  # do n't, it 's
_TWO_WORDS = {
    "cannot": ("can", "not"),
    "gonna": ("gon", "na"),
    "gotta": ("got", "ta"),
    "wanna": ("wan", "na"),
    "gimme": ("gim", "me"),
    "lemme": ("lem", "me"),
}


def tokenize(caption: str) -> list[str]:
    """Lower-case words without punctuation, like a Penn Treebank tokenizer: `It's a dog.` → it 's a dog."""
    text = unicodedata.normalize("NFC", caption).lower().replace("’", "'").replace("‘", "'")
    return [word for chunk in _CHUNK.findall(text) for word in _split(chunk)]


def _split(chunk: str) -> tuple[str, ...]:
    ending = _ENDING.fullmatch(chunk)
    return ending.groups() if ending else _TWO_WORDS.get(chunk, (chunk,))


def inflections(base: str) -> set[str]:
    """The regular forms of an English noun or verb, including the base form itself.

    - `-s`: `-es` after s, x, z, ch, sh; y after a consonant becomes `-ies`.
    - `-ed` and `-ing`: a silent e is dropped (chime, chiming); y after a consonant becomes `-ied`; the last consonant
      of a one-syllable word is doubled after a single vowel (clap, clapping).

    Irregular forms (sang, geese) are data: they belong in the list of synonyms.
    """
    if re.search(r"[^aeiou]y$", base):
        return {base, base[:-1] + "ies", base[:-1] + "ied", base + "ing"}
    plural = base + ("es" if re.search(r"([sxz]|ch|sh)$", base) else "s")
    if base.endswith("e"):
        return {base, plural, base + "d", (base if base.endswith(("ee", "oe", "ye")) else base[:-1]) + "ing"}
    stem = base + base[-1:] if re.fullmatch(r"[^aeiou]*[aeiou][bdfgklmnprtvz]", base) else base
    return {base, plural, stem + "ed", stem + "ing"}


_ENDINGS = {"s": ("",), "es": ("",), "ies": ("y",), "ed": ("", "e"), "ied": ("y",), "ing": ("", "e")}


@lru_cache(maxsize=65536)
def bases(word: str) -> frozenset[str]:
    """Every base that `word` can be a regular form of, including itself: barking → bark, barking.

    Two words are forms of each other if they share a base. An ending is only removed where the rule would add it:
    caring is not a form of car, nor being of bee.
    """
    candidates: set[str] = set()
    for ending, replacements in _ENDINGS.items():
        if word.endswith(ending):
            stem = word.removesuffix(ending)
            candidates |= {stem + replacement for replacement in replacements}
            candidates.add(stem[:-1])  # clapp-ing
    return frozenset({word, *(base for base in candidates if _could_be_a_word(base) and word in inflections(base))})


def _could_be_a_word(base: str) -> bool:
    return len(base) > 2 and re.search("[aeiouy]", base) is not None
