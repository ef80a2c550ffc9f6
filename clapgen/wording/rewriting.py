"""Captions rewritten by rules: a clause in other forms, other openers, another order of its parts, other words.

A caption is a list of clauses with connectives between them. A clause is understood if it is a subject, one verb of
`words.tsv` and a rest ("a dog | barks | in the distance"), or a noun phrase; what is not understood stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from clapgen.wording.clauses import noun_phrase_is_plural, parse_clause
from clapgen.wording.grammar import lower_first, with_article
from clapgen.wording.lexicon import alternatives, find_words


@dataclass(frozen=True)
class Rules:
    """Which rewritings a writer of captions uses.

    Attributes:
        column: Of `words.tsv`: TRAINING or HELD_OUT.
        finite: Sentences about a subject: "{subject} {is} {ing}{rest}".
        nominal: Phrases that may not follow "while": "{subject} {ing}{rest}".
        openers: Around a noun phrase: "the sound of {phrase}".
        fronted: Whether a place may come first: "in the distance, …".
        swaps: Whether what sounds at the same time may change places.
        drops_article: The probability with which a caption loses its first article.
        numbers: Words for numbers: "twice" → "two times".
    """

    column: int
    finite: Sequence[str]
    nominal: Sequence[str]
    openers: Sequence[str]
    fronted: bool = False
    swaps: bool = False
    drops_article: float = 0.0
    numbers: dict[str, str] = field(default_factory=dict)


CONNECTIVE = re.compile(
    r"(,? (?:and )?(?:then|while|as|followed by|before|after|with) |, (?:and )?| and )(?=\S)", re.IGNORECASE
)
_OPENER = re.compile(
    r"(?:this is )?(?:the |a )?(?:sounds?|noise|recording|audio) of (?P<a>.+)|there (?:is|are) (?P<b>.+)"
    r"|(?P<c>.+) (?:can be|is being|is|are) heard|you can hear (?P<d>.+)",
    re.IGNORECASE,
)
_FRONTABLE = re.compile(r"(?P<main>.+?) (?P<place>in the background|in the distance|outside|nearby|far away|indoors)")


def rewrite(caption: str, rules: Rules, random: Random) -> str:
    """One random rewriting of a caption; the caption itself where no rule applies."""
    stripped = caption.strip()
    body = stripped.rstrip(".!?; ")
    text = _structure(lower_first(body), rules, random)
    text = _numbers(_words(text, rules.column, random), rules, random)
    if random.random() < rules.drops_article:
        text = re.sub(r"^(a|an|the) (?!sound|number|lot)", "", text)
    capital = body[:1].isupper()
    return (text[:1].upper() + text[1:] if capital else text) + stripped[len(body) :]


def _structure(text: str, rules: Rules, random: Random) -> str:
    parts = CONNECTIVE.split(text)
    clauses, connectives = parts[::2], [part.strip().lower() for part in parts[1::2]]
    if not connectives:
        return _single(text, rules, random) if random.random() < 0.85 else text
    if rules.swaps and random.random() < 0.5 and (swapped := _swap(clauses, connectives, parts[1::2], random)):
        return swapped
    if _is_list(clauses, connectives) and not _OPENER.match(clauses[0]) and random.random() < 0.7:
        are = "are" if noun_phrase_is_plural(clauses[0]) else "is"
        return random.choice(rules.openers).format(phrase=text, are=are)
    if not all(_stands_alone(clause) for clause in clauses[1:]):
        return text  # "a dog growls and barks": the second has no subject of its own
    for index, before in enumerate(["", *connectives]):
        if random.random() < 0.6:
            parts[2 * index] = _joined_clause(
                clauses[index], before, not {"while", "as"}.isdisjoint(connectives), rules, random
            )
    return "".join(parts)


def _stands_alone(clause: str) -> bool:
    """Whether it has a subject, or is a noun phrase with its determiner."""
    return parse_clause(clause) is not None or _has_determiner(clause) or clause.startswith("the ")


def _single(text: str, rules: Rules, random: Random) -> str:
    """A caption that is one clause."""
    opened = _OPENER.fullmatch(text)
    core = next(part for part in opened.groups() if part) if opened else text
    if clause := parse_clause(core):
        template = random.choice([*rules.finite, *rules.nominal])
        rewritten = clause.fill(template) or core
        if rules.fronted and template in rules.finite and random.random() < 0.3:
            return _fronted(rewritten)
        return rewritten
    plural = noun_phrase_is_plural(core)
    if plural is None:
        return text
    determined = re.match(r"(a|an|the|some|several|many|\d+|two|three|four|five|six) ", core) or plural
    if opened and not determined and random.random() < 0.5 and _is_count_noun(core):
        core = with_article(core)
    return random.choice(rules.openers).format(phrase=core, are="are" if plural else "is")


def _is_count_noun(phrase: str) -> bool:
    words = phrase.split()
    return any(
        m.word.kind == "noun" and m.form == 0 and m.start == 0 and m.end == len(words) for m in find_words(words)
    )


def _joined_clause(text: str, before: str, subordinate: bool, rules: Rules, random: Random) -> str:
    """A clause after the connective `before` keeps its kind: a sentence stays one, a phrase stays one."""
    clause = parse_clause(text)
    if clause is None or (clause.finite and before in ("with", "followed by")) or (subordinate and not clause.finite):
        return text
    return clause.fill(random.choice(rules.finite if clause.finite else rules.nominal)) or text


def _swap(clauses: list[str], connectives: list[str], separators: list[str], random: Random) -> str | None:
    """Sounds at the same time in another order: "A while B" → "B while A", "rain, wind and thunder"."""
    if connectives == ["while"]:
        return f"{clauses[1]} while {clauses[0]}"
    if not _is_list(clauses, connectives):
        return None  # "a door opens and a man walks in" happens in that order
    if _OPENER.match(clauses[0]) or len({_has_determiner(c) for c in clauses}) > 1:
        return None  # "the sound of rain and wind", "small dogs and cats": words that go with the whole list
    order = list(range(len(clauses)))
    random.shuffle(order)
    shuffled = [clauses[i] for i in order]
    return shuffled[0] + "".join(separators[i] + shuffled[i + 1] for i in range(len(separators)))


def _is_list(clauses: list[str], connectives: list[str]) -> bool:
    """Whether it lists noun phrases: "rain, wind and thunder"."""
    listed = all(c in (",", "and", ", and") for c in connectives) and connectives[-1] != ","
    return listed and not any(parse_clause(c) or noun_phrase_is_plural(c) is None for c in clauses)


def _has_determiner(phrase: str) -> bool:
    return re.match(r"(a|an|the|some|several|many|two|three|four|five) ", phrase) is not None


def _fronted(text: str) -> str:
    found = _FRONTABLE.fullmatch(text)
    return f"{found['place']}, {found['main']}" if found else text


def _words(text: str, column: int, random: Random) -> str:
    """Some words replaced by others of their groups in `words.tsv`."""
    words = text.split(" ")
    bare = [word.strip(",;").lower() for word in words]
    chosen: dict[int, tuple[int, str]] = {}
    for match in find_words(bare):
        others = alternatives(match.word, column)
        noun_as_verb = match.word.kind == "verb" and match.form >= 3 and _after_noun_marker(bare, match.start)
        if others and not noun_as_verb and match.start not in chosen and random.random() < 0.5:
            chosen[match.start] = match.end, random.choice(others).forms[match.form]
    result: list[str] = []
    position = 0
    while position < len(words):
        if position in chosen:
            end, replacement = chosen[position]
            tail = words[end - 1][len(words[end - 1].rstrip(",;")) :]
            if result and result[-1].lower() in ("a", "an"):
                article = with_article(replacement).split(" ")[0]
                result[-1] = article.capitalize() if result[-1][0].isupper() else article
            result.append(replacement + tail)
            position = end
        else:
            result.append(words[position])
            position += 1
    return " ".join(result)


def _after_noun_marker(words: list[str], position: int) -> bool:
    return position > 0 and words[position - 1] in ("a", "an", "the", "of")


def _numbers(text: str, rules: Rules, random: Random) -> str:
    for said, other in rules.numbers.items():
        if random.random() < 0.5:
            text = re.sub(rf"\b{said}\b(?! times)", other, text)
    return text
