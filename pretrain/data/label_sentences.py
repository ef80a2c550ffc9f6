"""Sentences from the labels of a clip: "dog, bark, rain" → "A dog barks and rain can be heard"."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from random import Random

from clapgen.data.text import label_key
from clapgen.metrics.captions.synonyms import load_synonyms
from clapgen.metrics.captions.words import bases
from clapgen.wording.clauses import Clause
from clapgen.wording.grammar import clean_label, join_labels, with_article
from clapgen.wording.lexicon import Word, find_words
from pretrain.data.captions import TEMPLATES
from pretrain.data.paraphrase import RULES

TRIES = 6  # for each sentence asked for
_PLAIN = tuple(template for template in TEMPLATES if "a_label" not in template)  # "a … sound" is for one thing


def sentences_from_labels(labels: Sequence[str], count: int, random: Random) -> list[str]:
    """Up to `count` different sentences in which every label occurs; none without a label that has words.

    A label that is a sound of another one becomes its verb (dog, bark: "a dog is barking", "the barking of a dog"); a
    label that says again what another one says ("chirping birds", "birds") is not repeated. All others are noun phrases
    in a list, with an article if they can be counted. Labels that no table knows are used as they are.
    """
    phrases = [clean for label in labels if (clean := clean_label(label))]
    phrases = list(dict.fromkeys(phrases))
    phrases = [p for p in phrases if not any(p != q and set(p.split()) <= set(q.split()) for q in phrases)]
    if not phrases:
        return []
    found: dict[str, None] = {}
    for _ in range(TRIES * count):
        sentence = _sentence(phrases, random)
        found[sentence[0].upper() + sentence[1:]] = None
        if len(found) == count:
            break
    return list(found)


def _sentence(phrases: list[str], random: Random) -> str:
    order = list(phrases)
    random.shuffle(order)
    pair = next(((a, verb) for a in order for b in order if a != b and (verb := _sound_of(a, b))), None)
    if pair is None:
        names = [_with_article(phrase) for phrase in order] if random.random() < 0.5 else order
        return random.choice(_PLAIN).format(label=join_labels(names))
    source, verb = pair
    rest = [_with_article(phrase) for phrase in order if phrase != source and phrase not in verb.forms]
    plural = _plural(source)
    clause = Clause(source if plural else _with_article(source), plural, verb, "", "", True)
    finite = random.random() < 0.5
    form = random.choice(
        [f for template in (RULES.finite if finite else RULES.nominal) if (f := clause.fill(template))]
    )
    if not rest:
        return form
    return f"{form}, and {join_labels(rest)} can be heard" if finite else f"{form} and {join_labels(rest)}"


def _sound_of(source: str, sound: str) -> Word | None:
    """The verb of a sound that belongs to a source: bark for dog. None if they are not known to belong together."""
    words = sound.lower().split()
    verb = next((m.word for m in find_words(words) if m.word.kind == "verb" and m.end - m.start == len(words)), None)
    known, source, sound = _synonyms(), label_key(source), label_key(sound)
    related = source in known.get(sound, ()) or not bases(sound).isdisjoint(known.get(source, ()))
    return verb if related else None


@cache
def _synonyms() -> dict[str, frozenset[str]]:
    return {label_key(label): frozenset(map(label_key, words)) for label, words in load_synonyms().items()}


def _plural(phrase: str) -> bool:
    last = phrase.split()[-1]
    return any(m.word.kind == "noun" and m.form == 1 for m in find_words([last.lower()]))


def _with_article(phrase: str) -> str:
    """`"dog"` → `"a dog"`, if the table of words says that it can be counted."""
    words = phrase.lower().split()
    matches = [m for m in find_words(words) if m.word.kind == "noun" and m.end == len(words)]
    return with_article(phrase) if matches and all(m.form == 0 for m in matches) else phrase
