"""The words of a caption: a Penn-Treebank-like tokenizer, and the rule by which barks, barking and barked are one word.

By custom captions are scored on the tokens of Stanford's PTBTokenizer, lower-cased and without punctuation, and that is
Java. `tokenize` is the same in Python. Of 84,550 sentences (AudioCaps, Clotho, SoundBible, the AudioSet ontology and
our own) all but 68 come out as from CoreNLP 3.4.1 with pycocoevalcap's list of punctuation: 66 of them have brackets.
It differs on purpose in

- brackets, which vanish: Java lower-cases them to `-lrb-`, which the list, written `-LRB-`, then overlooks;
- every run of marks (`!!`, `?!`) and every pictogram, which vanish too;
- accents typed as marks of their own, which join their letter;

and is simpler in that it keeps a full stop only in the abbreviations below and in initials written together (`u.s.`),
keeps no apostrophe in front (`'n'`), and takes web addresses and mark-up apart like other text.
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
    | [%$#&*+=@/|]                         # signs that stand for words
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
    """Lower-case words without punctuation, as a Penn Treebank tokenizer cuts them: `It's a dog.` → it 's a dog."""
    text = unicodedata.normalize("NFC", caption).lower().replace("’", "'").replace("‘", "'")
    return [word for chunk in _CHUNK.findall(text) for word in _split(chunk)]


def _split(chunk: str) -> tuple[str, ...]:
    ending = _ENDING.fullmatch(chunk)
    return ending.groups() if ending else _TWO_WORDS.get(chunk, (chunk,))


def inflections(base: str) -> set[str]:
    """The regular forms of an English noun or verb given in its base form, itself among them.

    - `-s`: `-es` after s, x, z, ch, sh; y after a consonant becomes `-ies`.
    - `-ed` and `-ing`: a silent e falls (chime, chiming); y after a consonant becomes `-ied`; the last consonant of a
      word of one syllable is doubled if it stands alone after one vowel (clap, clapping).

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
    """Every base that `word` can be a regular form of, itself among them: barking → bark, barking.

    Two words are forms of one another if they share a base. An ending comes off only where the rule would put it on:
    caring is no form of car, and being none of bee.
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
