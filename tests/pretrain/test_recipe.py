"""The CLAP recipe: its batches, objectives, overfitting a few clips, and a text tower that learns from its teacher."""

import json
from pathlib import Path

import pytest
import torch
from clap_recipes import recipe_for

from clapgen.audio import read_audio
from clapgen.clap import Clap
from clapgen.configuration import load_config, recipe_path
from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.zero_shot import class_prompts, zero_shot_accuracy
from clapgen.testing import CLAP, SAMPLE_RATE, tiny_model
from clapgen.training.loop import train
from pretrain.distillation import DistillationTask, TextRecipe, collect_texts, load_text_tower
from pretrain.objectives import OBJECTIVES, Objective, create_objectives
from pretrain.recipe import ClapRecipe, ClapTask, run


@pytest.fixture(scope="module")
def manifest(tmp_path_factory, recordings) -> Path:
    path = tmp_path_factory.mktemp("clips") / "manifest.jsonl"
    lines = []
    for split in ("train", "val"):
        for clip in recordings:
            fields = {"path": str(clip), "captions": [f"The sound of a {clip.stem}"], "labels": [clip.stem]}
            lines.append({**fields, "esc50_class": clip.stem, "split": split, "free": clip.stem != "door"})
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def same(one, other) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_a_batch_is_a_pure_function_of_its_generator(manifest, tmp_path):
    task = ClapTask(recipe_for(manifest, tmp_path))
    one, two, other = (task.batch(0, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert same(one, two) and not same(one["inputs"], other["inputs"])
    truth = one["extra"]["prompt-classification"]["truth"]
    assert len(one["inputs"]["crops"]) == len(one["text"]["mask"]) == len(truth) == len(one["rows"]) == 12
    assert torch.allclose(truth.sum(1), torch.ones(12))


def test_batches_are_made_on_the_cpu_wherever_the_model_is(manifest, tmp_path):
    task = ClapTask(recipe_for(manifest, tmp_path))
    task.clap.to("meta")
    assert task.batch(0, torch.Generator().manual_seed(0))["inputs"]["crops"].device.type == "cpu"


def test_the_seed_decides_the_first_weights(manifest, tmp_path):
    one, two, other = (ClapTask(recipe_for(manifest, tmp_path, seed=seed)).clap.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not torch.equal(one["audio_projection.0.weight"], other["audio_projection.0.weight"])


def test_clips_without_labels_are_strangers_and_need_no_prompts(tmp_path, recordings):
    path = tmp_path / "captions.jsonl"
    path.write_text("\n".join(json.dumps({"path": str(clip), "captions": [clip.stem]}) for clip in recordings))
    task = ClapTask(recipe_for(path, tmp_path))
    assert len(set(task.rows.groups)) == len(recordings)
    batch = task.batch(0, torch.Generator().manual_seed(0))
    details = task.loss(batch, "model", 0)[1]
    assert "soft-infonce" in details and "prompt-classification" not in details


def test_an_objective_receives_the_whole_batch_and_may_return_named_terms(manifest, tmp_path, monkeypatch):
    class Aligned(Objective):
        def draw(self, rows, generator):
            return {"negatives": ["silence", "noise"], "weights": torch.ones(len(rows))}

        def forward(self, batch):
            assert batch.extra["negatives"].shape == (2, 32) and batch.extra["weights"].shape == (12,)
            assert batch.features.shape[0] == 12 and batch.step == 7
            assert [row.clips[0].captions[0] for row in batch.rows] == [row.caption for row in batch.rows]
            frames = batch.frames
            assert frames.shape[::2] == (12, 32) and torch.allclose(frames.norm(dim=-1), torch.ones(frames.shape[:2]))
            return {"frames": -(frames.mean(1) * batch.text).sum(1).mean(), "text": batch.text.sum()}

    monkeypatch.setitem(OBJECTIVES._parts, "aligned", Aligned)
    task = ClapTask(recipe_for(manifest, tmp_path, objectives={"infonce": 2.0, "aligned": 0.5}))
    loss, details = task.loss(task.batch(0, torch.Generator().manual_seed(0)), "model", 7)
    terms = 2.0 * details["infonce"] + 0.5 * details["aligned/frames"] + 0.5 * details["aligned/text"]
    assert torch.allclose(loss, terms)
    loss.backward()
    assert set(details) == {"infonce", "aligned/frames", "aligned/text", "logit_scale"}


def test_a_weight_of_zero_leaves_an_objective_out_and_none_at_all_is_an_error(manifest, tmp_path):
    recipe = recipe_for(manifest, tmp_path, objectives={"infonce": 1.0, "prompt-classification": 0.0})
    assert list(ClapTask(recipe).objectives) == ["infonce"]
    with pytest.raises(ClapgenError, match="no objective with a weight"):
        ClapTask(recipe_for(manifest, tmp_path, objectives={"infonce": 0.0}))
    with pytest.raises(ClapgenError, match="Did you mean 'infonce'"):
        ClapTask(recipe_for(manifest, tmp_path, objectives={"infonse": 1.0}))


def test_the_old_key_of_prompt_classification_names_the_new_one(tmp_path):
    path = tmp_path / "old.yaml"
    path.write_text("manifest: m.jsonl\nprompt_classification: 0.5\n")
    with pytest.raises(ClapgenError, match=r"old\.yaml.*It is now 'objectives\.prompt-classification'"):
        load_config(ClapRecipe, path)


@pytest.mark.parametrize("name", ["default", "robust"])
def test_the_objectives_of_the_shipped_recipes_exist_and_have_what_they_need(name):
    recipe = load_config(ClapRecipe, recipe_path("clap", name), ["manifest=m.jsonl"])
    objectives = create_objectives(recipe.objectives, recipe.objective_options)
    assert any(objective.contrastive for objective in objectives.values())
    assert recipe.clap.frame_head or "frames" not in objectives
    assert recipe.scenes.share or not {"temporal", "frames"} & objectives.keys()


def test_a_text_tower_that_is_not_there_is_named_before_anything_is_decoded(manifest, tmp_path):
    with pytest.raises(ClapgenError, match="nowhere; train it first"):
        ClapTask(recipe_for(manifest, tmp_path, text_model=str(tmp_path / "nowhere")))
    assert not (tmp_path / "cache").exists()


def test_the_logit_scale_stops_at_its_limit_and_can_come_back(manifest, tmp_path):
    task = ClapTask(recipe_for(manifest, tmp_path))
    task.clap.log_logit_scale.data.fill_(9.0)
    loss, metrics = task.loss(task.batch(0, torch.Generator().manual_seed(0)), "model", 0)
    loss.backward()
    assert metrics["logit_scale"].item() == pytest.approx(100) and float(task.clap.log_logit_scale.grad.abs()) > 0


@pytest.mark.slow
def test_a_few_clips_are_overfitted_and_the_model_can_be_loaded(manifest, tmp_path, recordings):
    metrics = train(ClapTask(recipe_for(manifest, tmp_path)), recipe_for(manifest, tmp_path).training)
    assert metrics["text_to_audio/R@1"] == metrics["audio_to_text/R@1"] == 1.0
    clap = Clap.from_pretrained(tmp_path / "model")
    audio = clap.embed_audio([read_audio(path, SAMPLE_RATE)[0] for path in recordings], SAMPLE_RATE)
    prompts = clap.embed_text(class_prompts([path.stem for path in recordings]))
    accuracy = zero_shot_accuracy(audio, prompts, torch.arange(len(recordings)))
    assert accuracy == pytest.approx(metrics["zero_shot_accuracy"]) and accuracy > 0.8


def test_only_free_clips_train_when_asked(manifest, tmp_path):
    names = [c.path.stem for c in ClapTask(recipe_for(manifest, tmp_path, free_only=True)).data.clips]
    assert "door" not in names and len(names) == 5


def test_a_split_without_clips_is_an_error(manifest, tmp_path):
    with pytest.raises(ClapgenError, match='no clip of split "nothing"'):
        ClapTask(recipe_for(manifest, tmp_path, train_split="nothing"))


def test_every_key_of_a_recipe_is_checked(manifest):
    with pytest.raises(ClapgenError, match="batch_size"):
        run(None, [f"manifest={manifest}", "training.batchsize=4"])


def test_a_clap_is_trained_on_with_its_text_side_locked(manifest, tmp_path):
    base = Clap.from_pretrained(tiny_model(tmp_path / "tiny"))
    recipe = recipe_for(manifest, tmp_path / "run", start_from=str(tmp_path / "tiny"), lock_text=True)
    recipe.training.steps = recipe.training.evaluate_every = 3
    train(ClapTask(recipe), recipe.training)
    tuned = Clap.from_pretrained(tmp_path / "run" / "model")
    assert torch.equal(tuned.embed_text(["rain", "a dog"]), base.embed_text(["rain", "a dog"]))
    sound = torch.sin(torch.arange(8000) * 0.3)
    assert not torch.allclose(tuned.embed_audio([sound], 8000), base.embed_audio([sound], 8000), atol=1e-4)


def text_recipe(manifest: Path, output: Path) -> TextRecipe:
    recipe = load_config(TextRecipe, {"manifest": str(manifest), "word_templates": ["{}"], "free_only": False})
    recipe.text = CLAP.text
    recipe.training.output, recipe.training.precision, recipe.training.batch_size = str(output), "no", 32
    recipe.training.steps, recipe.training.evaluate_every, recipe.training.learning_rate = 12, 12, 1e-2
    recipe.training.warmup_steps, recipe.training.log_every = 2, 1
    return recipe


@pytest.mark.slow
def test_the_text_tower_approaches_its_teacher_and_initialises_a_clap(manifest, tmp_path, monkeypatch):
    words = ["rain", "rooster", "piano", "glass", "door", "cymbal", "handclap", "thunder", "dog", "hound"] * 4
    monkeypatch.setattr("pretrain.distillation.teacher_words", lambda: words)  # of 20,000: they would take a minute
    task = DistillationTask(text_recipe(manifest, tmp_path))
    before = task.evaluate()["teacher_cosine"]
    assert train(task, task.recipe.training)["teacher_cosine"] > before + 0.1
    tower, config, tokenizer = load_text_tower(tmp_path / "model")
    assert config == CLAP.text and tokenizer.encode("rain").ids
    clap = ClapTask(recipe_for(manifest, tmp_path, text_model=str(tmp_path / "model"))).clap
    assert torch.equal(clap.text_tower.token_embedding.weight, tower.token_embedding.weight)
    assert not any(p.requires_grad for p in clap.text_tower.parameters())


def test_held_out_sentences_are_not_read(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text('{"caption": "a", "split": "train"}\n{"caption": "b", "split": "test"}\n{"caption": "c"}\n')
    assert collect_texts(TextRecipe(texts=[str(path)])) == ["a", "c"]
    for line in ("not json", "[1]", '{"name": "a"}', '{"caption": 3}', '{"caption": "a", "name": null}'):
        path.write_text(f'{{"caption": "a"}}\n{line}\n')
        with pytest.raises(ClapgenError, match=r"texts\.jsonl:2"):
            collect_texts(TextRecipe(texts=[str(path)]))
