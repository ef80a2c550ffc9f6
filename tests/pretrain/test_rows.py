"""What a batch of CLAP training is made of: scenes and twins, teachers' targets, looked-up states, short crops."""

import json
from pathlib import Path

import pytest
import torch
from clap_recipes import recipe_for

from clapgen.embedders import load_embedder
from clapgen.errors import ClapgenError
from clapgen.testing import tiny_model
from clapgen.training.loop import train
from pretrain.recipe import ClapTask
from pretrain.teachers.table import TeacherTable, centred, write_teacher_table
from pretrain.texts import Texts, project


@pytest.fixture
def manifest(tmp_path: Path, recordings: list[Path]) -> Path:
    path = tmp_path / "manifest.jsonl"
    rows = [{"path": str(p), "captions": [f"the sound of a {p.stem}"], "labels": [p.stem]} for p in recordings]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def draw(task: ClapTask, index: int = 0) -> dict:
    return task.batch(index, torch.Generator().manual_seed(index))


def test_scenes_follow_the_crops_each_beside_its_twin(manifest, tmp_path):
    recipe = recipe_for(manifest, tmp_path)
    recipe.scenes.share, recipe.training.batch_size = 0.5, 12
    task = ClapTask(recipe)
    pairs = 0
    for index in range(5):
        batch = draw(task, index)
        rows = batch["rows"]
        assert [row.scene is None for row in rows] == [True] * 6 + [False] * 6
        assert len(batch["inputs"]["crops"]) == len(batch["inputs"]["scenes"]) == 6
        assert len(set(batch["groups"][6:].tolist())) == 6 and (batch["groups"][6:] < 0).all()
        for number, row in enumerate(rows):
            if row.twin is None:
                continue
            pairs += 1
            assert rows[row.twin].twin == number and rows[row.twin].scene != row.scene
        assert all(row.caption in row.scene.captions for row in rows[6:])
        assert all(len(row.clips) == len(row.scene.events) for row in rows[6:])
    assert pairs > 10
    loss, _ = task.loss(batch, "model", 0)
    loss.backward()


def test_a_batch_may_be_of_scenes_alone_and_their_share_is_checked(manifest, tmp_path):
    recipe = recipe_for(manifest, tmp_path)
    recipe.scenes.share = 1.0
    task = ClapTask(recipe)
    batch = draw(task)
    assert list(batch["inputs"]) == ["scenes"] and all(row.scene for row in batch["rows"])
    task.loss(batch, "model", 0)[0].backward()
    recipe.scenes.share = 1.5
    with pytest.raises(ClapgenError, match=r"scenes\.share is a share of the rows"):
        ClapTask(recipe)


def test_mixtures_of_the_same_sounds_are_positives_of_each_other_in_any_order(manifest, tmp_path):
    recipe = recipe_for(manifest, tmp_path)
    recipe.augment.mix_probability, recipe.training.batch_size = 1.0, 2
    task = ClapTask(recipe)
    groups: dict[frozenset[str], set[int]] = {}
    for index in range(20):
        batch = draw(task, index)
        for row, group in zip(batch["rows"], batch["groups"].tolist(), strict=True):
            groups.setdefault(frozenset(clip.labels[0] for clip in row.clips), set()).add(group)
    assert len(groups) > 10 and all(len(numbers) == 1 for numbers in groups.values())
    assert len(set.union(*groups.values())) == len(groups)


def test_a_row_of_one_clip_has_its_target_and_no_other_row_has(manifest, tmp_path, recordings):
    clips = ClapTask(recipe_for(manifest, tmp_path)).data.clips
    teacher = load_embedder(str(tiny_model(tmp_path / "teacher")))
    write_teacher_table([teacher], clips, tmp_path / "table.safetensors")
    recipe = recipe_for(manifest, tmp_path, teachers={"ear": str(tmp_path / "table.safetensors")})
    recipe.objectives = {"distillation": 1.0, "infonce": 0.1}
    recipe.augment.mix_probability, recipe.training.batch_size = 0.5, len(recordings)
    task = ClapTask(recipe)
    batch = draw(task)
    for row, target in zip(batch["rows"], batch["teachers"]["ear"], strict=True):
        assert bool(target.any()) == (len(row.clips) == 1)
        if len(row.clips) == 1:
            assert torch.equal(target, task.teachers["ear"].targets[task.data.clips.index(row.clips[0])])
    assert "distillation" in task.loss(batch, "model", 0)[1]


@pytest.mark.parametrize("aligned", [True, False])
def test_only_targets_that_embeddings_are_to_be_equal_to_keep_their_mean(manifest, tmp_path, aligned):
    clips = ClapTask(recipe_for(manifest, tmp_path)).data.clips
    teacher = load_embedder(str(tiny_model(tmp_path / "teacher")))
    write_teacher_table([teacher], clips, tmp_path / "table.safetensors")
    recipe = recipe_for(manifest, tmp_path, teachers={"mean": str(tmp_path / "table.safetensors")})
    recipe.objectives, recipe.clap.dim = {"embedding-distillation": 1.0}, teacher.dim
    recipe.objective_options = {"embedding-distillation": {"aligned": aligned}}
    raw = TeacherTable.load(tmp_path / "table.safetensors", clips).targets
    assert torch.equal(ClapTask(recipe).teachers["mean"].targets, raw if aligned else centred(raw))


def test_states_of_a_frozen_tower_are_looked_up_and_give_the_same_embeddings(manifest, tmp_path):
    frozen, trained = (ClapTask(recipe_for(manifest, tmp_path, text_learning_rate_scale=s)) for s in (0.0, 0.1))
    texts = ["a rooster", "the sound of a door", "a rooster"]
    prepared = frozen.texts.prepare(texts)
    assert "states" in prepared and "tokens" in trained.texts.prepare(texts)
    looked_up = project(frozen.clap.eval(), prepared)
    assert torch.allclose(looked_up, frozen.clap.embed_text(texts), atol=2e-2)  # states are kept in bfloat16
    assert torch.equal(looked_up[0], looked_up[2]) and len(frozen.texts.known) == 2


def test_what_is_not_looked_up_any_more_is_forgotten(manifest, tmp_path, monkeypatch):
    monkeypatch.setattr("pretrain.texts.MOST_STATES", 3)
    texts = Texts(ClapTask(recipe_for(manifest, tmp_path)).clap, frozen=True)
    for text in ("one", "two", "three", "one", "four"):
        texts.prepare([text])
    assert list(texts.known) == ["three", "one", "four"]


def test_crops_are_short_until_their_share_of_the_steps(manifest, tmp_path):
    recipe = recipe_for(manifest, tmp_path)
    recipe.augment.crop_seconds, recipe.augment.whole_from, recipe.training.steps = 0.5, 0.75, 8
    task = ClapTask(recipe)
    lengths = [draw(task, index)["inputs"]["crops"].shape[2] for index in range(8)]
    assert lengths == [26] * 6 + [51] * 2


def test_clips_that_are_scenes_are_neither_cropped_nor_mixed_and_bring_their_negatives(manifest, tmp_path):
    scenes = [json.loads(line) | {"relation": "sequence", "duration": 1.0} for line in manifest.read_text().split("\n")]
    for line in scenes[:3]:
        line["events"] = [
            {"clip": 0, "label": name, "start": at, "duration": 0.5} for name, at in (("door", 0.0), ("glass", 0.5))
        ]
        line["negatives"] = [{"kind": "order", "caption": "glass, then door"}]
        line["captions"] = ["door, then glass"]
    (tmp_path / "scenes.jsonl").write_text(
        "\n".join(json.dumps(s if "events" in s else {"path": s["path"], "labels": s["labels"]}) for s in scenes)
    )
    recipe = recipe_for(tmp_path / "scenes.jsonl", tmp_path, objectives={"given-negatives": 1.0, "frames": 1.0})
    recipe.clap.frame_head, recipe.augment.mix_probability, recipe.training.batch_size = True, 1.0, len(scenes)
    task = ClapTask(recipe)
    batch = draw(task)
    assert len(batch["inputs"]["scenes"]) == 3 and len(batch["inputs"]["crops"]) == len(scenes) - 3
    assert [row.scene is not None for row in batch["rows"]] == [False] * (len(scenes) - 3) + [True] * 3
    assert [clip.labels for clip in batch["rows"][-1].clips] == [["door"], ["glass"]]
    crops = [clip for row in batch["rows"][:-3] for clip in row.clips]
    assert len(crops) == 2 * (len(scenes) - 3) and not any("events" in clip.extra for clip in crops)
    frames = batch["extra"]["frames"]  # the caption names both sounds, but each is known to be at its own time
    assert frames["known"][-1].all() and len(frames["spans"]) == 6
    terms = task.loss(batch, "model", 0)[1]
    assert terms["frames/frames"] > 0 and batch["extra"]["given-negatives"]["negatives"]["mask"].shape[0] == 1


def test_some_clips_are_drawn_more_often(manifest, tmp_path, recordings):
    task = ClapTask(recipe_for(manifest, tmp_path, repeats={"labels=door": 3}))
    names = [task.data.clips[index].labels[0] for index in task.rows.epoch]
    assert len(names) == len(recordings) + 2 and names.count("door") == 3
    with pytest.raises(ClapgenError, match="no clip has labels=dog"):
        ClapTask(recipe_for(manifest, tmp_path, repeats={"labels=dog": 2}))


def test_scenes_need_two_sounds(tmp_path, recordings):
    path = tmp_path / "one.jsonl"
    path.write_text("\n".join(json.dumps({"path": str(p), "labels": ["rain"]}) for p in recordings))
    recipe = recipe_for(path, tmp_path)
    recipe.scenes.share = 0.5
    with pytest.raises(ClapgenError, match="only the label 'rain'"):
        ClapTask(recipe)


def test_a_frozen_audio_tower_stays_as_it_is_while_its_pooling_learns(manifest, tmp_path):
    recipe = recipe_for(manifest, tmp_path / "run", audio_learning_rate_scale=0.0)
    recipe.clap.audio.temporal_layers, recipe.clap.audio.dropout = 1, 0.5
    recipe.training.steps, recipe.training.evaluate_every = 3, 0
    task = ClapTask(recipe)
    before = {key: value.clone() for key, value in task.clap.audio_tower.state_dict().items()}
    train(task, recipe.training)
    after = task.clap.audio_tower.state_dict()
    changed = {key for key, value in after.items() if not torch.equal(value, before[key])}
    assert changed and all(key.startswith("temporal.") for key in changed)


@pytest.mark.slow
def test_training_goes_on_from_a_model_with_new_parts(manifest, tmp_path):
    recipe = recipe_for(manifest, tmp_path / "run", start_from=str(tiny_model(tmp_path / "start")))
    recipe.clap.audio.temporal_layers, recipe.clap.text.temporal_layers, recipe.clap.frame_head = 1, 1, True
    recipe.scenes.share, recipe.training.steps, recipe.training.evaluate_every = 0.3, 3, 0
    task = ClapTask(recipe)
    assert task.clap.config.audio.temporal_layers == 1 and task.clap.frame_head is not None
    pooling = task.clap.text_tower.temporal.project_out.weight
    train(task, recipe.training)
    assert pooling.abs().sum() > 0


@pytest.mark.parametrize(
    ("objectives", "teachers", "message"),
    [
        ({"infonce": 1.0, "distillation": 1.0}, {}, r"needs a teacher: set teachers\.NAME=FILE"),
        ({"infonce": 1.0}, {"ear": "t.safetensors"}, "no objective learns from the teachers"),
    ],
)
def test_teachers_and_what_learns_from_them_belong_together(manifest, tmp_path, objectives, teachers, message):
    recipe = recipe_for(manifest, tmp_path, teachers=teachers)
    recipe.objectives = objectives
    with pytest.raises(ClapgenError, match=message):
        ClapTask(recipe)


def write_scenes(manifest: Path, duration: float) -> None:
    """Say that each clip is a scene."""
    event = {"clip": 0, "label": "door", "start": 0.0, "duration": 0.1}
    scene = {"duration": duration, "relation": "single", "events": [event]}
    lines = [json.loads(line) | scene for line in manifest.read_text().splitlines()]
    manifest.write_text("\n".join(map(json.dumps, lines)))


def test_a_scene_longer_than_the_window_is_named(manifest, tmp_path):
    write_scenes(manifest, 60.0)
    with pytest.raises(ClapgenError, match="is a scene of 60 s, and the window is"):
        ClapTask(recipe_for(manifest, tmp_path))


def test_no_scenes_are_composed_of_scenes(manifest, tmp_path):
    write_scenes(manifest, 0.5)
    recipe = recipe_for(manifest, tmp_path)
    recipe.scenes.share = 0.5
    with pytest.raises(ClapgenError, match=r"set scenes\.share=0"):
        ClapTask(recipe)
    recipe.scenes.share = 0.0
    assert all(row.scene for row in draw(ClapTask(recipe))["rows"])
