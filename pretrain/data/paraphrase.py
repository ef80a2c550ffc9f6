"""Paraphrases of captions for training, by rules and without a language model, and realistic misspellings.

Several wordings of one caption are positives of the same sound (RobustCLAP, arXiv 2410.16505). The wordings and
synonyms that `clapgen evaluate retrieval --paraphrases` uses are others: `clapgen.wording.held_out`.
"""

from __future__ import annotations

from torch import Generator

from clapgen.training.seeds import seeded_random
from clapgen.wording.lexicon import TRAINING
from clapgen.wording.meaning import keeps_meaning
from clapgen.wording.misspelling import misspell
from clapgen.wording.rewriting import Rules, rewrite

RULES = Rules(
    column=TRAINING,
    finite=(
        "{subject} {verb}{rest}",
        "{subject} {is} {ing}{rest}",
        "there {is} {subject} {ing}{rest}",
        "{object} {object_is} {participle}{by}{rest}",
    ),
    nominal=(
        "{subject} {ing}{rest}",
        "the {ing} {of}{rest}",
        "{ing} {of}{rest}",
        "the sound of {subject} {ing}{rest}",
        "the sound of {object} being {participle}{by}{rest}",
    ),
    openers=(
        "{phrase}",
        "the sound of {phrase}",
        "sound of {phrase}",
        "there {are} {phrase}",
        "{phrase} can be heard",
        "a recording of {phrase}",
    ),
    fronted=True,
    swaps=True,
    drops_article=0.2,
    numbers={"twice": "two times", "three times": "3 times", "two": "2", "three": "3", "four": "4", "five": "5"},
)
TRIES = 4  # for each paraphrase asked for


def paraphrases(caption: str, count: int, generator: Generator) -> list[str]:
    """`count` other wordings of a caption that keep its meaning, different ones as far as the rules have them.

    Rules: a clause as a sentence, a phrase or in the passive ("X barks", "the barking of X", "there is an X barking"),
    openers, the order of what sounds at the same time, synonyms, numbers, and the article. Wordings that would change a
    label, a number, an order or a negation are dropped (`clapgen.wording.meaning.keeps_meaning`). Where no rule applies
    the caption itself fills the list. The result depends on nothing but the caption and the generator.
    """
    random = seeded_random(generator)
    found: dict[str, None] = {}
    for _ in range(TRIES * count):
        if len(found) == count:
            break
        wording = rewrite(caption, RULES, random)
        if wording != caption and wording not in found and keeps_meaning(caption, wording):
            found[wording] = None
    wordings = list(found) or [caption.strip()]
    return [wordings[i % len(wordings)] for i in range(count)]


def typo(text: str, generator: Generator) -> str:
    """The text with one misspelt word: `clapgen.wording.misspelling.misspell`."""
    return misspell(text, seeded_random(generator))
