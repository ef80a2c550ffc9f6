"""Graded targets by labels or a teacher, and embeddings that follow those of checkpoints."""

import math

import pytest
import torch
from objective_batches import (
    BELL,
    CAT,
    DIM,
    DOG,
    RAIN,
    SCALE,
    batch_of,
    clip,
    logit,
    prepared,
    random,
    scene_rows,
    sequence,
)
from torch.nn import functional as F

from clapgen.errors import ClapgenError
from pretrain.objectives import BatchRow, ClapBatch, create_objective


def row(*clips) -> BatchRow:
    return BatchRow(clips, " and ".join(clip.labels[0] for clip in clips))


def graded_loss(batch: ClapBatch, similarity: list[list[float]], temperature: float) -> float:
    total, size = 0.0, len(batch.audio)
    for one, other in ((batch.audio, batch.text), (batch.text, batch.audio)):
        for i in range(size):
            weights = [math.exp((s - 1) / temperature) for s in similarity[i]]
            logits = [logit(one[i], other[j]) for j in range(size)]
            log_sum = math.log(sum(map(math.exp, logits)))
            total += sum(w * (log_sum - x) for w, x in zip(weights, logits, strict=True)) / sum(weights) / size / 2
    return total


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_targets_follow_the_overlap_of_labels(temperature):
    objective = prepared("graded", {"temperature": temperature})
    rows = [row(DOG), row(DOG, RAIN), row(DOG, RAIN), row(CAT), row(CAT, BELL)]
    third, half = 1 / 3, 0.5
    overlap = [[1, half, half, 0, 0], [half, 1, 1, 0, 0], [half, 1, 1, 0, 0], [0, 0, 0, 1, half], [0, 0, 0, half, 1]]
    batch = batch_of(objective, rows)
    assert float(objective(batch)) == pytest.approx(graded_loss(batch, overlap, temperature), rel=1e-5)
    three = objective.targets(batch_of(objective, [row(DOG, RAIN), row(DOG, CAT)]))
    assert three[0, 1] / three[0, 0] == pytest.approx(math.exp((third - 1) / temperature), rel=1e-4)


def test_a_low_temperature_and_no_shared_labels_are_plain_infonce():
    objective, plain = prepared("graded", {"temperature": 0.01}), create_objective("infonce")
    rows = [row(DOG), row(RAIN), row(CAT)]
    assert torch.allclose(objective(batch_of(objective, rows)), plain(batch_of(objective, rows)))


def test_a_scene_is_no_positive_of_its_twin_although_the_labels_are_the_same():
    objective = prepared("graded")
    rows = [row(DOG), *scene_rows(sequence("dog", "rain"), 1), row(DOG, RAIN)]
    targets = objective.targets(batch_of(objective, rows))
    assert targets[1, 2] / targets[1, 1] == pytest.approx(math.exp(-10), rel=1e-3)
    assert targets[1, 1] == pytest.approx(targets[1, 3].item())


def test_rows_without_labels_are_positives_of_their_group_only():
    hum = clip(captions=["hum"])
    objective = prepared("graded", clips=[DOG, hum])
    rows = [BatchRow((hum,), "hum"), BatchRow((hum,), "a hum"), BatchRow((hum,), "mm"), row(DOG)]
    targets = objective.targets(batch_of(objective, rows, [0, 0, 1, 2]))
    assert targets[0].tolist() == pytest.approx([0.5, 0.5, 0, 0], abs=1e-4)
    assert targets[2].tolist() == pytest.approx([0, 0, 1, 0], abs=2e-4)


def test_targets_follow_the_similarity_under_a_teacher():
    objective = prepared("graded", {"teacher": "ear", "temperature": 0.5})
    rows = [row(DOG), row(RAIN), row(CAT), row(DOG, CAT)]  # the mixture has no target
    batch = batch_of(objective, rows)
    ear = batch.teachers["ear"]
    assert batch.extra == {} and not ear[3].any()
    similarity = [[float(ear[i] @ ear[j]) if i != j else 1.0 for j in range(4)] for i in range(4)]
    assert float(objective(batch)) == pytest.approx(graded_loss(batch, similarity, 0.5), rel=1e-5)


@pytest.mark.parametrize("name", ["graded", "distillation", "embedding-distillation"])
def test_a_teacher_that_the_recipe_has_not_is_named(name):
    with pytest.raises(ClapgenError, match=r"no teacher 'ears'\. Did you mean 'ear'\? Teachers: ear"):
        prepared(name, {"teacher": "ears"})
    objective = create_objective(name, {"teacher": "ear"})
    with pytest.raises(ClapgenError, match=r"no teacher 'ear'\. Name its file: teachers\.NAME=FILE"):
        objective.set_widths(2, 4, {})


def test_of_several_teachers_one_can_be_chosen():
    objective = create_objective("distillation", {"teacher": "two"})
    objective.set_widths(2, 4, {"one": 2, "two": 3})
    assert list(objective.heads) == ["two"]


def followed(target: torch.Tensor, audio: torch.Tensor, **options) -> float:
    objective = create_objective("embedding-distillation", options)
    objective.set_widths(2, 1, {"mean": target.shape[1]})
    return float(objective(ClapBatch(audio, audio, SCALE, torch.arange(len(audio)), teachers={"mean": target})))


def test_embeddings_follow_a_teacher_of_the_same_space():
    audio, target = random(5, DIM), 3 * random(5, DIM, seed=1)
    target[1] = 0
    rows = [0, 2, 3, 4]
    own = sum(1 - F.cosine_similarity(audio[i], target[i], 0).item() for i in rows) / 5
    pairs = sum(
        (audio[i] @ audio[j] - F.cosine_similarity(target[i], target[j], 0)).item() ** 2 for i in rows for j in rows
    )
    assert followed(target, audio, geometry=0.3) == pytest.approx(own + 0.3 * pairs / 25, rel=1e-5)
    assert followed(target, audio, geometry=0.3, aligned=False) == pytest.approx(0.3 * pairs / 25, rel=1e-5)
    assert followed(audio, audio) == pytest.approx(0, abs=1e-6)


def test_a_teacher_of_another_space_teaches_its_geometry_alone():
    audio = random(5, DIM)
    turned = audio @ torch.linalg.qr(random(DIM, DIM, seed=1)).Q  # the same similarities in other directions
    assert followed(turned, audio, aligned=False) == pytest.approx(0, abs=1e-6) and followed(turned, audio) > 0.5
    wide = F.pad(turned, (0, 4))
    assert followed(wide, audio, aligned=False) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ClapgenError, match="width 20 and the CLAP of width 16; set the option 'aligned'"):
        followed(wide, audio)
