"""Captions from labels are English sentences, and mixtures keep both captions."""

from pathlib import Path

import pytest
from torch import Generator

from clapgen.data.manifest import Clip
from clapgen.errors import ClapgenError
from clapgen.wording.grammar import clean_label, join_labels, lower_first, with_article
from pretrain.data.captions import TEMPLATES, caption_from_labels, choose_caption, join_captions


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("door_wood_knock", "door wood knock"),
        ("Accelerating_and_revving_and_vroom", "accelerating and revving and vroom"),
        ("  glass__breaking ", "glass breaking"),
        ("TV_static", "TV static"),
        ("French_horn", "French horn"),
    ],
)
def test_labels_become_words(label: str, words: str) -> None:
    assert clean_label(label) == words


def test_several_labels_are_joined_without_repetition() -> None:
    assert join_labels(["rain"]) == "rain"
    assert join_labels(["Rain", "wind"]) == "rain and wind"
    assert join_labels(["rain", "wind", "Rain", "_", "thunder_clap"]) == "rain, wind and thunder clap"


@pytest.mark.parametrize(
    "phrase",
    ["an engine", "a dog", "an hour bell", "a uniform", "a ukulele", "an umbrella", "an FM radio", "a TV", "a one-way"],
)
def test_articles(phrase: str) -> None:
    article, noun = phrase.split(maxsplit=1)
    assert with_article(noun) == f"{article} {noun}"


def test_the_evaluation_prompt_needs_no_generator() -> None:
    assert caption_from_labels(["crackling_fire"]) == "This is a sound of crackling fire."


def test_every_template_is_used_and_says_the_label() -> None:
    captions = {caption_from_labels(["air_conditioner", "dog"], seeded(seed)) for seed in range(200)}
    assert len(captions) == len(TEMPLATES)
    assert all("air conditioner and dog" in caption.lower() for caption in captions)
    assert all(caption[0].isupper() for caption in captions)
    assert "An air conditioner and dog sound." in captions


def test_written_captions_come_before_labels() -> None:
    clip = Clip(Path("a.wav"), ["Rain falls", " ", "It rains"], ["rain"])
    assert {choose_caption(clip, seeded(seed)) for seed in range(50)} == {"Rain falls", "It rains"}
    assert choose_caption(clip, seeded(7)) == choose_caption(clip, seeded(7))
    assert choose_caption(clip) == "Rain falls"
    assert choose_caption(Clip(Path("a.wav"), [], ["rain"])) == "This is a sound of rain."


def test_a_clip_without_words_is_named() -> None:
    with pytest.raises(ClapgenError, match=r"silent\.wav"):
        choose_caption(Clip(Path("silent.wav"), [""], ["_"]))


def test_mixtures_join_both_captions() -> None:
    assert join_captions("A dog barks.", "Rain falls.") == "A dog barks and rain falls."
    assert join_captions("Rain falls", "TV static hisses") == "Rain falls and TV static hisses"
    joined = {join_captions("A dog barks.", "Rain falls", seeded(seed)) for seed in range(50)}
    assert joined == {f"A dog barks {word} rain falls" for word in ("and", "while", "as")}


@pytest.mark.parametrize(
    ("sentence", "inside"),
    [
        ("A man speaks", "a man speaks"),
        ("The FM radio plays", "the FM radio plays"),
        ("DJs scratch records", "DJs scratch records"),
        ("Christmas bells ring", "Christmas bells ring"),
        ("Big Ben strikes", "Big Ben strikes"),
        ("I walk in snow", "I walk in snow"),
        ("I'm walking", "I'm walking"),
        ("A Spanish guitar", "a Spanish guitar"),
        ("Rain", "rain"),
        ("", ""),
    ],
)
def test_only_ordinary_words_lose_their_capital(sentence: str, inside: str) -> None:
    assert lower_first(sentence) == inside
