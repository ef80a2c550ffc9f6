"""A paraphrase keeps its meaning only with the same labels, in the same order, as many, and none denied."""

import pytest

from clapgen.wording.meaning import keeps_meaning

SAME = [
    ("A dog barks", "the barking of a dog"),
    ("A dog barks", "there is a hound barking"),
    ("A dog barks, then a cat meows", "a cat meows after a dog barks"),
    ("A dog barks before a cat meows", "after a dog barks, a cat meows"),
    ("A dog barks followed by a cat meowing", "a cat meowing preceded by a dog barking"),
    ("Someone closes a door", "a door is closed by someone"),
    ("Rain and wind", "wind and rain"),
    ("A bell rings twice", "a bell rings two times"),
    ("Rain without thunder", "without thunder, rain"),
    ("Drops fall one after another", "the falling of drops one after another"),
    ("A zorp hums, then a blick buzzes", "a blick buzzes after a zorp hums"),
]
OTHER = [
    ("A dog barks", "a cat barks"),
    ("A dog barks", "an animal"),
    ("Rain", "rain and thunder"),
    ("A dog barks, then a cat meows", "a cat meows, then a dog barks"),
    ("A dog barks before a cat meows", "a dog barks after a cat meows"),
    ("After a dog barks, a cat meows", "a dog barks after a cat meows"),
    ("A dog barks, then a cat meows", "a dog barks while a cat meows"),
    ("A zorp hums, then a blick buzzes", "a blick buzzes, then a zorp hums"),
    ("Three dogs bark", "four dogs bark"),
    ("Three dogs bark", "dogs bark"),
    ("A bell rings twice", "a bell rings three times"),
    ("Rain without thunder", "rain with thunder"),
    ("There is no dog", "there is a dog"),
    ("Rain without thunder", "thunder without rain"),
    ("A dog barks loudly", "a dog barks quietly"),
    ("A dog barks in the background", "a dog barks"),
    ("A dog barks", ""),
]


@pytest.mark.parametrize(("source", "paraphrase"), SAME)
def test_these_say_the_same(source: str, paraphrase: str) -> None:
    assert keeps_meaning(source, paraphrase)
    assert keeps_meaning(paraphrase, source)


@pytest.mark.parametrize(("source", "paraphrase"), OTHER)
def test_these_do_not(source: str, paraphrase: str) -> None:
    assert not keeps_meaning(source, paraphrase)
    assert not keeps_meaning(paraphrase, source)


def test_labels_of_ones_own_decide_what_counts() -> None:
    assert keeps_meaning("a florble", "a wibble")  # words that are in no table may be anything
    assert not keeps_meaning("a florble", "a wibble", {"florble": ["frobbing"]})
    assert keeps_meaning("a florble", "a frobbing", {"florble": ["frobbing"]})
