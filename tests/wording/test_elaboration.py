"""A sentence that says all that a shorter one says, and nothing else that sounds."""

import pytest

from clapgen.wording.meaning import content_words, elaborates


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("rain", "Rain falls steadily on a roof"),
        ("rain", "A heavy downpour of rain"),
        ("hound", "A dog barks nearby"),
        ("dogs", "Dogs bark in a kennel"),
        ("birds", "Birds are singing in the trees"),
        ("keyboard typing", "A person is typing on a computer keyboard"),
        ("rain and thunder", "Thunder rumbles while rain falls"),
        ("footsteps", "Footsteps on grass"),
        ("two dogs", "Two dogs bark loudly"),
        ("a dog barks, then a door closes", "A small dog barks nearby, then a wooden door closes slowly"),
    ],
)
def test_detail_may_be_added(source: str, sentence: str) -> None:
    assert elaborates(source, sentence)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("", "A dog barks"),
        ("rain", ""),
        ("rain", "Wind howls"),  # another sound
        ("heavy rain", "Rain falls on a roof"),  # a word is lost
        ("rain", "Rain and rolling thunder"),  # a sound is added
        ("rain", "Rain comes down without thunder"),  # a negation is added
        ("dog", "Dogs bark in a kennel"),  # more of them
        ("dog", "A dog barks twice"),  # a number is added
        ("two dogs", "Three dogs bark"),
        ("dog", "A dog barks, then a door closes"),  # an event is added
        ("dog then cat", "A cat meows, then a dog barks"),  # the other order
        ("rain without thunder", "Rain and thunder"),
    ],
)
def test_nothing_may_be_lost_changed_or_sound_in_addition(source: str, sentence: str) -> None:
    assert not elaborates(source, sentence)


def test_content_words_are_bases_and_groups() -> None:
    assert content_words("The sound of rainfall") == content_words("rain") == {"rain"}
    assert content_words("A hound is barking loudly") == {"dog", "bark", "loudly"}
