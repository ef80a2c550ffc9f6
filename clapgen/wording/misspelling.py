"""Realistic misspellings: slips of the fingers on a QWERTY keyboard."""

from __future__ import annotations

from random import Random

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


def misspell(text: str, random: Random) -> str:
    """The text with one misspelt word: a letter dropped, doubled, swapped with the next, or the key next to it.

    Words of fewer than four letters, and first letters, are spared, as typists do (Pollock & Zamora 1984: few errors
    are in the first letter). A text without a longer word is returned unchanged.
    """
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
