"""All objectives together in a recipe, with scenes, a frame head and a teacher."""

import json

import pytest
import torch
from clap_recipes import recipe_for

from pretrain.objectives import OBJECTIVES
from pretrain.recipe import ClapTask
from pretrain.teachers import TeacherTable


@pytest.mark.slow
def test_every_objective_trains_a_clap_on_scenes(tmp_path, recordings, monkeypatch):
    path = tmp_path / "manifest.jsonl"
    lines = [{"path": str(r), "captions": [f"A sound of a {r.stem}"], "labels": [r.stem]} for r in recordings]
    path.write_text("\n".join(map(json.dumps, lines)))
    recipe = recipe_for(path, tmp_path, objectives=dict.fromkeys(OBJECTIVES, 1.0))
    recipe.scenes.share, recipe.scenes.sequence, recipe.clap.frame_head = 0.5, 100.0, True
    recipe.objective_options = {"embedding-distillation": {"aligned": False}, "frames": {"absent": 2}}
    monkeypatch.setattr("pretrain.recipe.TeacherTable.load", lambda file, clips, *_, **__: table_of(len(clips)))
    recipe.teachers = {"ear": "ear.safetensors"}
    task = ClapTask(recipe)
    loss, details = task.loss(task.batch(0, torch.Generator().manual_seed(0)), "model", 0)
    loss.backward()
    assert torch.isfinite(loss)
    assert {key.split("/")[0] for key in details} == {*OBJECTIVES, "logit_scale"}
    assert all(value.item() > 0 for value in details.values()), details
    lacking = [name for name, p in task.clap.named_parameters() if p.requires_grad and p.grad is None]
    assert not lacking and all(torch.isfinite(p.grad).all() for p in task.clap.parameters() if p.grad is not None)


def table_of(count: int) -> TeacherTable:
    targets = torch.randn(count, 6, generator=torch.Generator().manual_seed(0))
    return TeacherTable(targets, [], [], [])
