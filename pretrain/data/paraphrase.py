"""Paraphrases of captions for training, by rules and without a language model, and realistic misspellings.

Several wordings of one caption are positives of the same sound (RobustCLAP, arXiv 2410.16505). The wordings and
synonyms that `clapgen evaluate retrieval --paraphrases` uses are others: `clapgen.wording.held_out`.
"""

from __future__ import annotations

from random import Random

import torch
from torch import Generator

from clapgen.wording.languages import LANGUAGES, prompts
from clapgen.wording.lexicon import TRAINING
from clapgen.wording.meaning import keeps_meaning
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


def translated_prompts(label: str, generator: Generator) -> list[str]:
    """One random prompt for a label in each of German, French and Spanish; none for a label that has no translation.

    Wordings that are held out for evaluation are not used.
    """
    random = seeded_random(generator)
    in_languages = [prompts(label, language) for language in LANGUAGES]
    return [random.choice(pairs)[0] for pairs in in_languages if pairs]


_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS = {
    letter: {
        near
        for r in (row - 1, row, row + 1)
        if 0 <= r < len(_ROWS)
        for c in (column - 1, column, column + 1)
        if 0 <= c < len(_ROWS[r]) and (near := _ROWS[r][c]) != letter
    }
    for row, letters in enumerate(_ROWS)
    for column, letter in enumerate(letters)
}
SHORTEST_MISSPELT = 4  # letters: "cat" with a typo is another word


def typo(text: str, generator: Generator) -> str:
    """The text with one misspelt word: a letter dropped, doubled, swapped with the next, or the key next to it.

    Words of fewer than four letters, and first letters, are spared, as typists do (Pollock & Zamora 1984: few errors
    are in the first letter). A text without a longer word is returned unchanged.
    """
    random = seeded_random(generator)
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if sum(map(str.isalpha, word)) >= SHORTEST_MISSPELT]
    if not long:
        return text
    chosen = random.choice(long)
    words[chosen] = _misspelt(words[chosen], random)
    return " ".join(words)


def _misspelt(word: str, random: Random) -> str:
    letters = [i for i, character in enumerate(word) if character.isalpha()][1:]
    place = random.choice(letters)
    before, letter, after = word[:place], word[place], word[place + 1 :]
    near = sorted(_NEIGHBOURS.get(letter.lower(), ()))
    following = after[:1]
    ways = [before + after, before + letter + letter + after]
    if near:
        ways.append(before + random.choice(near) + after)
    if following.isalpha() and following != letter:
        ways.append(before + following + letter + after[1:])
    return random.choice(ways)


def seeded_random(generator: Generator) -> Random:
    """Python's random numbers, seeded from torch's: many small draws cost much less."""
    return Random(int(torch.randint(2**62, (), generator=generator)))
