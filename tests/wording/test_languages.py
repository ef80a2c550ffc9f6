"""Labels in German, French and Spanish; what evaluation uses is not in any training prompt."""

from itertools import combinations

import pytest

from clapgen.data.esc50 import ESC50_LABELS
from clapgen.errors import ClapgenError
from clapgen.wording.languages import LANGUAGES, has_held_out, prompts, translate, translations
from clapgen.wording.lexicon import find_words, groups


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_class_of_esc50_has_two_wordings_of_its_own(language):
    words = [translate(label, language) for label in ESC50_LABELS]
    others = [translate(label, language, held_out=True) for label in ESC50_LABELS]
    assert all(map(has_held_out, ESC50_LABELS))
    assert len({word.casefold() for word in [*words, *others]}) == 2 * len(ESC50_LABELS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_training_prompt_contains_a_held_out_wording(language):
    training = [prompt.casefold() for label in translations() for prompt, _ in prompts(label, language)]
    for label in ESC50_LABELS:
        held_out = translate(label, language, held_out=True).casefold()
        assert not [prompt for prompt in training if (held_out in prompt and len(held_out) > 4) or held_out == prompt]


def test_prompts_come_with_their_english_sense():
    german = dict(prompts("dog", "de"))
    assert german["Hund"] == "dog" and german["Geräusch: Hund"] == "This is a sound of dog."
    assert german["ein Hund bellt"] == "the sound of dog"
    assert translate("Church_Bells", "fr") == "cloches d'église"
    assert prompts("florble", "de") == []


def test_french_elides_before_vowels_and_silent_h():
    french = {prompt for label in ("airplane", "helicopter", "axe", "dog") for prompt, _ in prompts(label, "fr")}
    assert {"bruit d'avion", "bruit d'hélicoptère", "bruit de hache", "bruit de chien"} <= french


@pytest.mark.parametrize(
    ("label", "language", "message"),
    [("helicoptr", "de", "Did you mean 'helicopter'"), ("dog", "xx", "German"), ("note", "fr", "no second wording")],
)
def test_what_cannot_be_translated_is_named(label, language, message):
    with pytest.raises(ClapgenError, match=message):
        translate(label, language, held_out=message.startswith("no"))


def test_words_belong_to_one_group_of_their_kind():
    for kind in ("noun", "verb", "transitive", "phrase", "mass"):
        members = [{word.forms[0] for word in words} for (k, _), words in groups().items() if k == kind]
        assert not [a & b for a, b in combinations(members, 2) if a & b]


@pytest.mark.parametrize(
    ("word", "forms"),
    [
        ("clap", ("clap", "claps", "clapping", "clapped", "clapped")),
        ("cry", ("cry", "cries", "crying", "cried", "cried")),
        ("sneeze", ("sneeze", "sneezes", "sneezing", "sneezed", "sneezed")),
        ("sing", ("sing", "sings", "singing", "sang", "sung")),
        ("speak", ("speak", "speaks", "speaking", "spoke", "spoken")),
        ("crash", ("crash", "crashes", "crashing", "crashed", "crashed")),
        ("blow up", ("blow up", "blows up", "blowing up", "blew up", "blown up")),
        ("buzz", ("buzz", "buzzes", "buzzing", "buzzed", "buzzed")),
        ("hum", ("hum", "hums", "humming", "hummed", "hummed")),
        ("howl", ("howl", "howls", "howling", "howled", "howled")),
        ("echo", ("echo", "echoes", "echoing", "echoed", "echoed")),
        ("rev", ("rev", "revs", "revving", "revved", "revved")),
        ("flow", ("flow", "flows", "flowing", "flowed", "flowed")),
    ],
)
def test_verbs_are_inflected(word, forms):
    found = {m.word.forms for m in find_words(word.split()) if m.word.kind == "verb" and m.word.forms[0] == word}
    assert found == {forms}
