"""Paraphrases that no training uses: other words and other forms, to measure how much depends on the wording."""

from __future__ import annotations

import hashlib
from random import Random

from clapgen.wording.lexicon import HELD_OUT
from clapgen.wording.meaning import keeps_meaning
from clapgen.wording.rewriting import Rules, rewrite

RULES = Rules(
    column=HELD_OUT,
    finite=(
        "you can hear {subject} {ing}{rest}",
        "{subject} {is} heard {ing}{rest}",
        "it is {subject} that {verb}{rest}",
        "{object} {object_gets} {participle}{by}{rest}",
    ),
    nominal=(
        "audio of {subject} {ing}{rest}",
        "what one hears is {subject} {ing}{rest}",
        "{subject} that {verb}{rest}",
    ),
    openers=(
        "audio of {phrase}",
        "you can hear {phrase}",
        "what one hears is {phrase}",
        "a clip of {phrase}",
    ),
    numbers={"three times": "thrice", "two": "a pair of"},
)
TRIES = 8


def held_out_paraphrases(caption: str, count: int = 1) -> list[str]:
    """Up to `count` different paraphrases of a caption, always the same ones; none if no rule applies.

    Each keeps the meaning (`keeps_meaning`) and differs from the caption by at least one word or form that the training
    paraphrases (`pretrain.data.paraphrase`) never write.
    """
    random = Random(int.from_bytes(hashlib.sha256(caption.encode()).digest()[:8], "big"))
    found: dict[str, None] = {}
    for _ in range(TRIES * count):
        wording = rewrite(caption, RULES, random)
        if wording != caption.strip() and keeps_meaning(caption, wording):
            found[wording] = None
        if len(found) == count:
            break
    return list(found)
