"""A clause of a caption taken apart: subject, verb, object and rest; and put together in another form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from clapgen.wording.lexicon import Match, Word, find_words

_PREPOSITION_WORDS = """
    in on at by near from into onto with through over under across along against behind inside outside to during around
    up down off out past between among like for without
"""
_PREPOSITIONS = frozenset(_PREPOSITION_WORDS.split())
_PARTICLES = frozenset({"out", "up", "down", "off", "around", "by", "on", "past"})  # "rings out" is not ringing of
_SINGULAR_DETERMINERS = frozenset({"a", "an", "one", "this", "another", "someone", "somebody", "something"})
_OTHER_DETERMINERS = "the some several many multiple few two three four five six seven eight nine ten its his her their"
_DETERMINERS = _SINGULAR_DETERMINERS | {*_OTHER_DETERMINERS.split()}
_ADJECTIVE_WORDS = "continuous distant repeated repetitive heavy soft sharp short long deep pitched"
_ADJECTIVES = frozenset(_ADJECTIVE_WORDS.split())
_PLURALS = frozenset({"people", "men", "women", "children", "geese", "sheep", "cattle", "mice", "wolves", "feet"})
_BASE, _THIRD, _ING, _PAST, _PARTICIPLE = range(5)


@dataclass(frozen=True)
class Clause:
    """`subject` does `verb` (to `object`), and a rest; `passive` if the subject is unknown or comes after "by".

    Attributes:
        finite: Whether it was a sentence ("a dog barks") rather than a phrase ("a dog barking").
    """

    subject: str
    plural: bool
    verb: Word
    object: str
    rest: str
    finite: bool

    def fill(self, template: str) -> str | None:
        """The clause in the form of a template; None if the template is not for clauses like this one.

        Fields: {subject}, {is}, {verb} (finite), {ing}, {rest}; {object}, {object_is}, {object_gets}, {participle} and
        {by} need an object. {of} stands for "of {subject}" and needs an intransitive verb without an adverb.
        """
        needs_object = "{object}" in template
        if needs_object and not self.object:
            return None
        if "{of}" in template:
            adverb = self.rest and self.rest.split()[0] not in _PREPOSITIONS - _PARTICLES
            if self.object or adverb or self.verb.kind == "transitive" or " of " in self.subject:
                return None
        unknown = self.subject in ("someone", "somebody", "a person", "people")
        after = f" {self.object}" if self.object and not needs_object else ""
        filled = template.format(
            subject=self.subject,
            verb=self.verb.forms[_BASE if self.plural else _THIRD],
            ing=self.verb.forms[_ING],
            participle=self.verb.forms[_PARTICIPLE],
            object=self.object,
            object_is="are" if _is_plural(self.object) else "is",
            object_gets="get" if _is_plural(self.object) else "gets",
            by="" if unknown else f" by {self.subject}",
            of=f"of {self.subject}",
            rest=after + (f" {self.rest}" if self.rest else ""),
            **{"is": "are" if self.plural else "is"},
        )
        return filled


@lru_cache(maxsize=65536)
def parse_clause(text: str) -> Clause | None:
    """The clause in "a dog barks loudly", "dogs are barking", "the barking of a dog", "a door is opened by a man".

    None if there is no verb of `words.tsv`, or more than one.
    """
    words = text.split()
    lower = [word.lower() for word in words]
    if any(word.endswith((",", ";", ":")) for word in words):
        return None
    verbs = [m for m in find_words(lower) if m.word.kind in ("verb", "transitive")]
    if nominal := _nominal(words, lower, verbs):
        return nominal
    found = [(m, how) for m in verbs if m.start > 0 and (how := _role(lower, m))]
    places = {m.start for m, _ in found}
    if len(places) != 1:
        return None
    match, how = found[0]
    end = match.start - (1 if how in ("progressive", "passive") else 0)
    subject, rest = words[:end], words[match.end :]
    if not subject or not _is_subject([word.lower() for word in subject]):
        return None
    plural = _is_plural(" ".join(subject))
    if how == "passive":
        return _passive(match.word, subject, rest)
    thing: list[str] = []
    if match.word.kind == "transitive":
        thing, rest = _object(rest)
    return Clause(" ".join(subject), plural, match.word, " ".join(thing), " ".join(rest), how != "participle")


def _role(words: list[str], match: Match) -> str | None:
    """What a form of a verb is at its place, judged by the words before it."""
    before = words[match.start - 1]
    if match.form == _ING:
        if before in ("is", "are"):
            return "progressive"
        return None if before in _DETERMINERS or before in _PREPOSITIONS or before in ("of", "being") else "participle"
    if match.form in (_PARTICIPLE, _PAST) and before in ("is", "are"):
        return "passive" if match.word.kind == "transitive" and match.form == _PARTICIPLE else None
    if before in _DETERMINERS and before not in ("someone", "somebody", "something"):
        return None
    subject_is_plural = _is_plural(" ".join(words[: match.start]))
    if match.form == _THIRD and not subject_is_plural:
        return "finite"
    return "finite" if match.form == _BASE and subject_is_plural else None


def _is_subject(words: list[str]) -> bool:
    """A noun phrase with a noun in it, and without verbs and prepositions."""
    last = words[-1]
    if last in _DETERMINERS and last not in ("someone", "somebody", "something"):
        return False
    if (
        last.endswith("ly")
        or last in _ADJECTIVES
        or any(m.word.kind == "phrase" and m.end == len(words) for m in find_words(words) if m.word.group != "someone")
    ):
        return False
    return not any(word in _PREPOSITIONS or word in ("is", "are", "and", "there", "it", "that") for word in words)


def _is_plural(phrase: str) -> bool:
    words = phrase.lower().split()
    if not words or words[0] in _SINGULAR_DETERMINERS:
        return False
    words = words[: words.index("of")] if "of" in words[1:] else words
    return words[-1] in _PLURALS or re.search(r"[^sui]s$", words[-1]) is not None


def _object(rest: list[str]) -> tuple[list[str], list[str]]:
    """The noun phrase at the start of what follows a transitive verb, and the words after it."""
    end = next((i for i, word in enumerate(rest) if word.lower() in _PREPOSITIONS or word.endswith("ly")), len(rest))
    thing = rest[:end]
    if not thing or not (thing[0].lower() in _DETERMINERS or _is_plural(" ".join(thing))) or len(thing) > 5:
        return [], rest
    return (thing, rest[end:]) if thing[-1].lower() not in _DETERMINERS and "of" not in thing else ([], rest)


def _passive(verb: Word, thing: list[str], rest: list[str]) -> Clause | None:
    agent = "someone"
    if rest[:1] == ["by"]:
        end = next((i for i, word in enumerate(rest[1:], 1) if word.lower() in _PREPOSITIONS), len(rest))
        agent, rest = " ".join(rest[1:end]), rest[end:]
        if not agent:
            return None
    return Clause(agent, _is_plural(agent), verb, " ".join(thing), " ".join(rest), True)


def _nominal(words: list[str], lower: list[str], verbs: list[Match]) -> Clause | None:
    """ "the barking of a dog", "barking of dogs in the distance"."""
    start = 1 if lower[:1] == ["the"] else 0
    match = next((m for m in verbs if m.start == start and m.form == _ING and m.word.kind == "verb"), None)
    if match is None or lower[match.end : match.end + 1] != ["of"]:
        return None
    after = words[match.end + 1 :]
    end = next((i for i, word in enumerate(after) if word.lower() in _PREPOSITIONS), len(after))
    subject = after[:end]
    if not subject or not _is_subject([word.lower() for word in subject]) or len(verbs) > 1:
        return None
    phrase = " ".join(subject)
    return Clause(phrase, _is_plural(phrase), match.word, "", " ".join(after[end:]), False)


@lru_cache(maxsize=65536)
def noun_phrase_is_plural(text: str) -> bool | None:
    """Whether a noun phrase is plural; None if the text may be a sentence instead."""
    words = text.lower().split()
    if not words or any(word in ("is", "are", "was", "were", "there", "being") for word in words):
        return None
    head = words[: next((i for i, word in enumerate(words) if word in _PREPOSITIONS or word == "of"), len(words))]
    if not head or head[0] in ("someone", "somebody", "something", "people"):
        return None
    for match in find_words(words):
        if match.word.kind in ("verb", "transitive") and match.start > 0 and _role(words, match) == "finite":
            return None
    if head[0] in _SINGULAR_DETERMINERS:
        # "a zither twangs": a word in -s after "a …" is a verb that the table does not know
        return None if len(head) > 2 and re.search(r"[^sui]s$", head[-1]) else False
    return _is_plural(" ".join(head))
