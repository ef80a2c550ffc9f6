"""A causal language model that rewrites prompts in the context of captions."""

from pathlib import Path

import pytest
from tiny_bigrams import save_bigram_gpt2

from clapgen.errors import ClapgenError
from generation.prompts import LanguageModelRewriter

pytestmark = pytest.mark.slow  # transformers takes seconds to import

SENTENCE = "Rain falls steadily on the old roof"
CAPTIONS = [f"A dog barks loudly {number} times" for number in range(100)]


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bigram_gpt2(tmp_path_factory.mktemp("gpt2"), SENTENCE)


def test_it_says_what_the_language_model_says(gpt2: Path) -> None:
    rewriter = LanguageModelRewriter(str(gpt2))
    found = rewriter("rain", CAPTIONS)
    assert found[0] == SENTENCE
    assert found == rewriter("rain", CAPTIONS)


def test_the_nearest_captions_are_last_and_as_many_as_fit(gpt2: Path) -> None:
    rewriter = LanguageModelRewriter(str(gpt2))
    assert rewriter.context("rain", ["A dog barks", "The sound of wind"]) == (
        "Words: wind\nCaption: The sound of wind\n\nWords: dog barks\nCaption: A dog barks\n\nWords: rain\nCaption:"
    )
    context = rewriter.context("rain", CAPTIONS)
    assert CAPTIONS[0] in context and CAPTIONS[99] not in context
    assert context.endswith(f"Caption: {CAPTIONS[0]}\n\nWords: rain\nCaption:")


def test_a_prompt_longer_than_the_model_reads_is_not_rewritten(tmp_path: Path) -> None:
    short = LanguageModelRewriter(str(save_bigram_gpt2(tmp_path, SENTENCE, positions=60)))
    assert short("rain " * 100, CAPTIONS) == []
    assert short("rain", CAPTIONS)[0] == SENTENCE


def test_what_is_no_language_model_in_safetensors_is_refused(tmp_path: Path, gpt2: Path) -> None:
    with pytest.raises(ClapgenError, match="cannot be loaded"):
        LanguageModelRewriter(str(tmp_path))
    for file in gpt2.iterdir():
        name = "pytorch_model.bin" if file.name == "model.safetensors" else file.name
        (tmp_path / name).write_bytes(file.read_bytes())
    with pytest.raises(ClapgenError, match="cannot be loaded"):
        LanguageModelRewriter(str(tmp_path))
    with pytest.raises(ClapgenError, match="reads only 30 tokens"):
        LanguageModelRewriter(str(save_bigram_gpt2(tmp_path / "short", SENTENCE, positions=30)))
