"""A text tower learns what a misspelt, translated or paraphrased sentence means from the clean English one."""

import json
from pathlib import Path

import pytest
import torch

from clapgen.clap import Clap
from clapgen.configuration import load_config
from clapgen.errors import ClapgenError
from clapgen.testing import CLAP, tiny_model
from clapgen.training.loop import train
from clapgen.wording.languages import LANGUAGES, has_held_out, prompts, translate, translations
from pretrain.distillation import DistillationTask, TextRecipe
from pretrain.sentence_teachers import SENTENCE_TEACHERS

WORDS = ["rain", "rooster", "piano", "glass", "door"]
SENTENCES = ["A dog barks loudly", "Someone closes a door", "Rain falls on a roof", "A piano plays"]


class LetterTeacher:
    """Embeds a text as its counts of letters: a typo changes them, and nothing is downloaded."""

    width = 8

    def embed(self, texts):
        counts = torch.tensor([[text.lower().count(letter) + 0.1 for letter in "aeioubrs"] for text in texts])
        return torch.nn.functional.normalize(counts, dim=-1)


@pytest.fixture(autouse=True)
def small_teacher(monkeypatch):
    monkeypatch.setitem(SENTENCE_TEACHERS._parts, "letters", LetterTeacher)
    monkeypatch.setattr("pretrain.distillation.teacher_words", lambda: WORDS)


def recipe(output: Path, **changes) -> TextRecipe:
    texts = output / "texts.jsonl"
    output.mkdir(exist_ok=True)
    texts.write_text("".join(json.dumps({"caption": text}) + "\n" for text in SENTENCES))
    made = load_config(TextRecipe, {"texts": [str(texts)], "word_templates": ["{}"], "teacher": "letters", **changes})
    made.text = CLAP.text
    made.training.output, made.training.precision, made.training.batch_size = str(output / "run"), "no", 16
    made.training.steps = made.training.evaluate_every = 3
    made.training.warmup_steps = 1
    return made


def test_misspelt_and_rewritten_sentences_have_the_targets_of_the_clean_ones(tmp_path):
    task = DistillationTask(recipe(tmp_path, typo_share=0.5, paraphrase_share=0.5))
    clean = {tuple(row.tolist()) for row in task.targets.float()}
    batch = task.batch(0, torch.Generator().manual_seed(0))
    assert {tuple(row.tolist()) for row in batch["target"]} <= clean
    read = {task.tokenizer.decode([i for i in row.tolist() if i]).strip() for row in batch["tokens"]}
    assert len(read - {text.lower() for text in task.texts}) >= 3  # what the tower reads is not what the teacher read
    again = task.batch(0, torch.Generator().manual_seed(0))
    assert torch.equal(batch["tokens"], again["tokens"])


def test_the_translations_of_a_held_out_sentence_are_not_trained_on(tmp_path):
    made = recipe(tmp_path, translation_share=1.0)
    Path(made.texts[0]).write_text("".join(json.dumps({"caption": name}) + "\n" for name in ("dog", "cat", "siren")))
    task = DistillationTask(made)
    [held_out] = task.validation
    trained = [number for _, number in task.pairs]
    assert task.texts[held_out] in ("dog", "cat", "siren") and held_out not in trained and len(trained) > 1000


def test_a_translation_has_the_target_of_its_english_sense(tmp_path):
    task = DistillationTask(recipe(tmp_path, translation_share=1.0))
    batch = task.batch(0, torch.Generator().manual_seed(0))
    senses: dict[str, list[str]] = {}  # labels that mean the same have the same translation
    for foreign, english in (pair for label in translations() for c in LANGUAGES for pair in prompts(label, c)):
        senses.setdefault(foreign.lower(), []).append(english)
    for row, target in zip(batch["tokens"], batch["target"], strict=True):
        right = LetterTeacher().embed(senses[task.tokenizer.decode([i for i in row.tolist() if i]).strip()])
        assert (target - right).abs().amax(1).min() < 1e-3
    held_out = {translate(n, c, held_out=True).lower() for n in translations() if has_held_out(n) for c in LANGUAGES}
    assert not held_out & {foreign.lower() for foreign, _ in task.pairs}
    assert {"held_out_words_de", "held_out_words_fr", "held_out_words_es"} <= task.evaluate().keys()


def test_without_shares_the_sentences_are_read_as_they_are(tmp_path):
    task = DistillationTask(recipe(tmp_path))
    batch = task.batch(0, torch.Generator().manual_seed(0))
    read = {task.tokenizer.decode([i for i in row.tolist() if i]).strip() for row in batch["tokens"]}
    assert read <= {text.lower() for text in task.texts}


def test_a_clap_taught_by_itself_starts_without_an_error_and_stays_a_clap(tmp_path):
    base = Clap.from_pretrained(tiny_model(tmp_path / "tiny"))
    made = recipe(tmp_path, start_from=str(tmp_path / "tiny"), teacher="start", typo_share=0.3)
    task = DistillationTask(made)
    assert task.evaluate()["teacher_cosine"] == pytest.approx(1, abs=1e-3)
    train(task, made.training)
    taught = Clap.from_pretrained(tmp_path / "run" / "model")
    assert not torch.equal(taught.embed_text(["rain"]), base.embed_text(["rain"]))
    sound = torch.sin(torch.arange(8000) * 0.3)
    assert torch.allclose(taught.embed_audio([sound], 8000), base.embed_audio([sound], 8000), atol=1e-3)
    assert torch.equal(taught.text_projection[0].weight, base.text_projection[0].weight)


def test_a_text_tower_is_trained_further_from_a_fitted_projection(tmp_path):
    first = recipe(tmp_path / "one")
    train(DistillationTask(first), first.training)
    second = recipe(tmp_path / "two", start_from=str(tmp_path / "one" / "run" / "model"))
    task = DistillationTask(second)
    random = DistillationTask(recipe(tmp_path / "three"))
    assert task.evaluate()["teacher_cosine"] > random.evaluate()["teacher_cosine"]
    assert task.tokenizer.to_str() == DistillationTask(first).tokenizer.to_str()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"typo_share": 1.5}, "typo_share"),
        ({"teacher": "minilm-l7"}, "Did you mean 'minilm-l6'"),
        ({"teacher": "start"}, "needs start_from"),
        ({"start_from": "no/such/model"}, "no/such/model"),
    ],
)
def test_wrong_settings_are_named(tmp_path, changes, message):
    with pytest.raises(ClapgenError, match=message):
        DistillationTask(recipe(tmp_path, **changes))
