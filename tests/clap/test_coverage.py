"""Prompts that the text tower does not know are noticed."""

import pytest
from tokenizers import Tokenizer

from clapgen.clap.coverage import coverage_warning, unknown_words
from clapgen.model_store import resolve_model


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(resolve_model("default") / "clap" / "tokenizer.json"))


@pytest.mark.parametrize(
    "prompt",
    [
        "a dog barks",
        "DOG!!!",
        "rain on a tin roof",
        "Footsteps, slow; then a door slams shut.",
        "thunder, 3 times",
        "church bells ring in the distance while people talk",
        "whoosh",
    ],
)
def test_plain_english_is_known(tokenizer: Tokenizer, prompt: str) -> None:
    assert unknown_words(prompt, tokenizer) == []
    assert coverage_warning(prompt, tokenizer) == ""


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("ein Hund bellt", ["bellt"]),
        ("un chien aboie", ["chien", "aboie"]),
        ("犬が吠える", ["犬が吠える"]),
        ("собака лает", ["собака", "лает"]),
        ("dgo brakign", ["dgo", "brakign"]),
        ("kalimba", ["kalimba"]),
    ],
)
def test_other_languages_misspellings_and_rare_words_are_named(
    tokenizer: Tokenizer, prompt: str, words: list[str]
) -> None:
    assert unknown_words(prompt, tokenizer) == words
    assert f"does not know '{words[0]}'" in coverage_warning(prompt, tokenizer)
