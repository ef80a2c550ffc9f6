"""Sentences that a prompt may become: captions near it, their words around those of the prompt, and both joined."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from clapgen.data.sentences import tidy
from clapgen.metrics.captions.words import tokenize
from clapgen.wording.grammar import lower_first, with_article
from clapgen.wording.lexicon import Match, find_words, groups
from clapgen.wording.meaning import content_words
from clapgen.wording.rewriting import CONNECTIVE

READINGS = 6  # of a prompt, with its words replaced by synonyms
_NEGATION = re.compile(r"\b(?:no|not|without|never|none)\b", re.IGNORECASE)
_DETERMINER = re.compile(r"(?:an?|the)\s+", re.IGNORECASE)


def readings(prompt: str) -> list[str]:
    """The prompt, and it with each of its words replaced by another of its group in `words.tsv` ("hound": "dog")."""
    words = tokenize(prompt)
    found = [prompt]
    for match in _longest(words):
        for other in groups()[match.word.kind, match.word.group]:
            if other != match.word:
                form = other.forms[min(match.form, len(other.forms) - 1)]
                found.append(" ".join([*words[: match.start], form, *words[match.end :]]))
    return list(dict.fromkeys(found))[:READINGS]


def parts_of(prompt: str) -> tuple[list[str], list[str]]:
    """The clauses of a prompt and the connectives between them: "rain, then wind" is rain and wind, ", then "."""
    pieces = CONNECTIVE.split(prompt)
    return [piece.strip() for piece in pieces[::2]], pieces[1::2]


def joined(choices: Sequence[Sequence[str]], connectives: Sequence[str]) -> list[str]:
    """Every combination of one sentence for each clause of a prompt, joined as the clauses were."""
    sentences = []
    for chosen in itertools.product(*choices):
        first, *others = chosen
        later = (connective + lower_first(other) for connective, other in zip(connectives, others, strict=True))
        sentences.append(tidy(first + "".join(later)))
    return sentences


def around(prompt: str, captions: Sequence[str]) -> list[str]:
    """The words of captions around a noun phrase: "small dog" and "A hound barks nearby" give "A small dog barks
    nearby". Captions without the last noun of the prompt, in the same number, give nothing."""
    phrase = _DETERMINER.sub("", " ".join(prompt.split()), count=1) if _DETERMINER.match(prompt) else prompt
    if _NEGATION.search(phrase):
        return []
    head = next((match for match in _longest(tokenize(phrase)) if match.end == len(tokenize(phrase))), None)
    if head is None or head.word.kind not in ("noun", "mass"):
        return []
    found = (sentence for caption in captions if (sentence := _around(lower_first(phrase), head, caption)))
    return list(dict.fromkeys(found))


def _around(phrase: str, head: Match, caption: str) -> str | None:
    words = caption.split()
    modifiers = content_words(" ".join(tokenize(phrase)[: head.start]))
    bare = [word.strip('.,;:!?"()').lower() for word in words]
    if not modifiers.isdisjoint(content_words(caption)):
        return None  # "barking dog" in "a dog barks"
    matches = find_words(bare)
    if len({match.start for match in matches if match.word.group == head.word.group}) > 1:
        return None  # "infant" in "a newborn baby"
    for match in matches:
        if (match.word.kind, match.word.group, match.form) != (head.word.kind, head.word.group, head.form):
            continue
        ending = words[match.end - 1][len(words[match.end - 1].rstrip(".,;:!?")) :]
        before = words[: match.start]
        if before and before[-1].lower() in ("a", "an"):
            return tidy(" ".join([*before[:-1], with_article(phrase) + ending, *words[match.end :]]))
        return tidy(" ".join([*before, phrase + ending, *words[match.end :]]))
    return None


def _longest(words: list[str]) -> Iterator[Match]:
    """One match at each place, a noun rather than a verb."""
    ordered = sorted(find_words(words), key=lambda match: (match.start, match.word.kind not in ("noun", "mass")))
    for _, here in itertools.groupby(ordered, key=lambda match: match.start):
        yield next(here)
