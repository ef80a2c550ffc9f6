"""Short prompts become captions that say the same and more."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from clapgen.errors import ClapgenError
from clapgen.metrics.captions.words import tokenize
from generation.prompts import PromptEditor, edited
from generation.prompts.candidates import around, joined, parts_of, readings
from generation.prompts.editor import EDITED, FAMILIAR, NO_CAPTION
from generation.requests import GenerationRequest

CAPTIONS = [
    "Rain falls steadily on a roof",
    "Rain falls on a roof",
    "Rain and thunder in a storm",
    "A dog barks nearby",
    "A dog barks loudly nearby",
    "Dogs bark in a kennel",
    "A cat meows for food",
    "A violin plays a low note",
]


class WordClap:
    """Embeds a text as what it names: mostly its first sound, and a little of every word."""

    name, hash, dim, sample_rate, window_policy = "words", "", 64, 8000, ""
    logit_scale = torch.tensor(1.0)
    sounds = ("rain", "dog", "cat", "violin", "thunder")

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        rows = torch.zeros(len(texts), self.dim)
        for row, text in zip(rows, texts, strict=True):
            for word in tokenize(text):
                row[8 + sum(word.encode()) % 56] += 0.1
                if word.removesuffix("s") in self.sounds:
                    row[self.sounds.index(word.removesuffix("s"))] += 1
        return F.normalize(rows + 1e-6, dim=-1)

    def embed_audio(self, waveforms: Sequence[object], sample_rate: int) -> Tensor:
        raise NotImplementedError

    embed_frames = embed_audio


@pytest.fixture(scope="module")
def editor() -> PromptEditor:
    return PromptEditor(WordClap(), CAPTIONS)  # type: ignore[arg-type]


def test_a_word_becomes_a_caption(editor: PromptEditor) -> None:
    edit = editor.edit("rain")
    assert edit.prompt in ("Rain falls steadily on a roof", "Rain falls on a roof")
    assert (edit.original, edit.outcome, str(edit)) == ("rain", EDITED, f"rain -> {edit.prompt}")
    assert edit.fidelity >= 0.8


def test_the_number_of_a_noun_and_the_words_around_it_survive(editor: PromptEditor) -> None:
    assert editor.edit("dogs").prompt == "Dogs bark in a kennel"
    assert editor.edit("small dog").prompt in ("A small dog barks nearby", "A small dog barks loudly nearby")


def test_a_synonym_finds_the_captions_of_its_group(editor: PromptEditor) -> None:
    assert editor.edit("hound").prompt.endswith("barks nearby") or "barks loudly nearby" in editor.edit("hound").prompt


def test_a_prompt_like_a_caption_stays(editor: PromptEditor) -> None:
    for prompt in ("Rain falls on a roof", "rain drips on a tin roof"):
        edit = editor.edit(prompt)
        assert (edit.prompt, edit.outcome) == (prompt, FAMILIAR)
        assert "->" not in str(edit)


def test_an_unknown_prompt_stays_and_says_why(editor: PromptEditor) -> None:
    edit = editor.edit("xyzzy")
    assert (edit.prompt, edit.outcome) == ("xyzzy", NO_CAPTION)
    assert "no caption close enough" in str(edit)


def test_editing_is_deterministic_and_an_edited_prompt_stays(editor: PromptEditor) -> None:
    reordered = PromptEditor(WordClap(), list(reversed(CAPTIONS)))  # type: ignore[arg-type]
    for prompt in ("rain", "dog", "dogs", "small dog", "cat"):
        edit = editor.edit(prompt)
        assert reordered.edit(prompt) == edit
        assert editor.edit(edit.prompt).prompt == edit.prompt


def test_each_clause_becomes_a_caption(editor: PromptEditor) -> None:
    edit = editor.edit("dog, then cat")
    assert edit.prompt.startswith("A dog barks") and edit.prompt.endswith(", then a cat meows for food")


def test_no_sound_is_added(editor: PromptEditor) -> None:
    assert editor.best("rain", ["Rain and thunder in a storm"]) is None
    assert editor.best("rain", ["Rain and thunder in a storm"], keep_meaning=False) is not None


def test_familiarity_leaves_out_the_text_itself() -> None:
    editor = PromptEditor(WordClap(), ["A dog barks nearby", "A cat meows for food"])  # type: ignore[arg-type]
    own, other = WordClap().embed_text(["A dog barks nearby", "A cat meows for food"])
    assert editor.familiarity(["A dog barks nearby"])[0] == pytest.approx(float(own @ other))


def test_the_rewriter_gets_the_nearest_captions_and_is_checked(editor: PromptEditor) -> None:
    calls: list[tuple[str, Sequence[str]]] = []

    def rewriter(prompt: str, captions: Sequence[str]) -> list[str]:
        calls.append((prompt, captions))
        return ["A violin plays a low note", "rain falls softly on a lake.", "Rain and thunder in a storm"]

    edit = PromptEditor(WordClap(), CAPTIONS, rewriter=rewriter).edit("rain")  # type: ignore[arg-type]
    assert edit.prompt == "Rain falls softly on a lake"
    [(prompt, captions)] = calls
    assert prompt == "rain" and len(captions) == len(CAPTIONS) and captions[0].startswith("Rain")
    useless = PromptEditor(WordClap(), CAPTIONS, rewriter=lambda *_: ["Noise"])  # type: ignore[arg-type]
    assert useless.edit("rain") == editor.edit("rain")


def test_requests_keep_both_prompts_and_are_edited_once(editor: PromptEditor) -> None:
    typed = [GenerationRequest("rain"), GenerationRequest("rain", seed=1), GenerationRequest("Rain falls on a roof")]
    requests, edits = edited(typed, editor)
    assert [request.original_prompt for request in requests] == ["rain", "rain", "Rain falls on a roof"]
    assert [edit.original for edit in edits] == ["rain", "Rain falls on a roof"]
    assert requests[0].prompt == requests[1].prompt == editor.edit("rain").prompt
    assert edited(requests, editor) == (requests, [])
    assert requests[0].settings() == typed[0].settings()


def test_without_captions_there_is_nothing_to_edit_with() -> None:
    with pytest.raises(ClapgenError, match="without captions"):
        PromptEditor(WordClap(), [" . "])  # type: ignore[arg-type]


def test_readings_replace_words_by_their_synonyms() -> None:
    assert readings("small hound") == ["small hound", "little hound", "tiny hound", "small dog", "small canine"]
    assert readings("xyzzy") == ["xyzzy"]


@pytest.mark.parametrize(
    ("prompt", "caption", "expected"),
    [
        ("small dog", "A hound barks nearby", ["A small dog barks nearby"]),
        ("an old dog", "A dog barks, and a cat", ["An old dog barks, and a cat"]),
        ("old dog", "Barking of a dog.", ["Barking of an old dog"]),
        ("dog", "Dogs bark", []),  # another number
        ("small dog", "A small dog barks", []),  # it is there already
        ("barking dog", "A dog barks nearby", []),
        ("infant", "A newborn baby cries", []),
        ("no dog", "A dog barks", []),
        ("barking loudly", "A dog barks loudly", []),  # no noun
    ],
)
def test_a_phrase_takes_the_words_around_its_noun(prompt: str, caption: str, expected: list[str]) -> None:
    assert around(prompt, [caption]) == expected


def test_clauses_are_joined_as_they_were() -> None:
    parts, connectives = parts_of("dog, then cat")
    assert parts == ["dog", "cat"]
    assert joined([["A dog barks"], ["A cat meows", "TV noise"]], connectives) == [
        "A dog barks, then a cat meows",
        "A dog barks, then TV noise",
    ]
