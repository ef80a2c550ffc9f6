"""Training sees a caption in several wordings and misspelt; evaluation uses other wordings than training."""

import re
from functools import cache

import pytest
import torch

from clapgen.scenes.forms import ANY, NOUNS
from clapgen.scenes.phrases import TABLE as PHRASES
from clapgen.wording.held_out import held_out_paraphrases
from clapgen.wording.lexicon import HELD_OUT, TRAINING, find_words, groups
from clapgen.wording.meaning import keeps_meaning
from pretrain.data.captions import TEMPLATES
from pretrain.data.paraphrase import paraphrases, typo
from pretrain.objectives.absence import DENIALS
from pretrain.objectives.single_or_many import MANY, ONE

CAPTIONS = [
    "A dog barks in the distance",
    "Dogs bark",
    "Someone closes a door",
    "The sound of rain on a roof",
    "A baby cries while a woman speaks",
    "Rain, wind and thunder",
    "A car passes by, then a horn honks twice",
    "A trumpet plays the note C3",
]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def many(caption: str) -> set[str]:
    return {wording.lower() for seed in range(40) for wording in paraphrases(caption, 4, seeded(seed))}


@pytest.mark.parametrize(
    ("caption", "wordings"),
    [
        ("A dog barks", {"the barking of a dog", "there is a dog barking", "a hound is barking", "dog barks"}),
        ("the barking of dogs", {"dogs bark", "there are dogs barking"}),
        ("A man opens a gate", {"a gate is opened by a man", "there is a guy opening a gate"}),
        ("A gate is opened by a man", {"a man opens a gate"}),
        ("A gate is opened", {"someone opens a gate"}),
        ("A dog barks in the distance", {"in the distance, a dog barks", "a dog barks far away"}),
        (
            "A baby cries while a woman speaks",
            {"a woman speaks while a baby cries", "an infant cries while a lady speaks"},
        ),
        ("Rain, wind and thunder", {"thunder, rain and wind", "wind, thunder and rain"}),
        ("A bell rings twice", {"a bell rings two times"}),
        ("The sound of an owl", {"there is an owl", "a recording of an owl", "an owl can be heard"}),
        ("An engine hums", {"a motor hums", "motor hums"}),
    ],
)
def test_rules_write_these_wordings(caption: str, wordings: set[str]) -> None:
    assert wordings <= many(caption)


@pytest.mark.parametrize("caption", CAPTIONS)
def test_every_paraphrase_keeps_the_meaning_and_is_another_sentence(caption: str) -> None:
    for wording in many(caption):
        assert keeps_meaning(caption, wording)
        assert wording != caption.lower() or wording == caption


def test_what_happens_in_order_stays_in_order() -> None:
    for wording in many("A door opens and a man walks in") | many("A dog barks, then a cat meows"):
        assert (
            wording.find("door") < max(wording.find("man"), wording.find("guy"))
            or "meow" in wording
            or "miaow" in wording
        )
    assert not any(
        wording.startswith(("a cat", "cat", "a feline")) for wording in many("A dog barks, then a cat meows")
    )


def test_a_caption_without_rules_stands_for_itself() -> None:
    assert paraphrases("Xyzzy was plugh", 3, seeded(0)) == ["Xyzzy was plugh"] * 3
    assert paraphrases("", 2, seeded(0)) == ["", ""]


def test_paraphrases_depend_on_the_generator_alone() -> None:
    assert paraphrases(CAPTIONS[0], 3, seeded(1)) == paraphrases(CAPTIONS[0], 3, seeded(1))
    assert paraphrases(CAPTIONS[0], 3, seeded(1)) != paraphrases(CAPTIONS[0], 3, seeded(2))
    assert held_out_paraphrases(CAPTIONS[0], 3) == held_out_paraphrases(CAPTIONS[0], 3)


@pytest.mark.parametrize("caption", CAPTIONS)
def test_training_never_writes_a_held_out_wording(caption: str) -> None:
    held_out = {wording.lower() for wording in held_out_paraphrases(caption, 6)}
    assert held_out
    assert not held_out & many(caption)
    assert all(keeps_meaning(caption, wording) for wording in held_out)


def test_training_never_writes_a_held_out_word() -> None:
    words = {form for group in groups().values() for word in group for form in word.forms if word.column == HELD_OUT}
    written = {w for caption in CAPTIONS for wording in many(caption) for w in wording.split()}
    assert not {word for word in words if " " not in word} & written
    assert {m.word.column for m in find_words(["dog"])} == {TRAINING}


def test_no_sentence_form_of_training_has_a_held_out_word() -> None:
    words = {form for group in groups().values() for word in group for form in word.forms if word.column == HELD_OUT}
    forms = [form for table in (ANY, NOUNS) for many in table.values() for form in many]
    forms += [*TEMPLATES, *ONE, *MANY, *(sentence for pair in DENIALS for sentence in pair)]
    forms += PHRASES.read_text(encoding="utf-8").splitlines()
    said = re.compile("|".join(rf"\b{re.escape(word)}\b" for word in words), re.IGNORECASE)
    assert len(forms) > 250 and not [form for form in forms if said.search(form)]


def test_a_typo_changes_one_long_word_by_one_letter() -> None:
    for seed in range(50):
        words = typo("A dog barks loudly", seeded(seed)).split(" ")
        assert words[:2] == ["A", "dog"]
        changed = [(a, b) for a, b in zip(("barks", "loudly"), words[2:], strict=True) if a != b]
        assert len(changed) == 1
        assert changed[0][0][0] == changed[0][1][0]
        assert abs(len(changed[0][0]) - len(changed[0][1])) <= 1
    assert typo("a cat", seeded(0)) == "a cat"
