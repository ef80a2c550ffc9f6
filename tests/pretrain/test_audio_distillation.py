"""Distillation from an audio teacher: what it costs, and that rows without a target cost nothing."""

import pytest
import torch
from torch.nn import functional as F

from pretrain.objectives import ClapBatch, Distillation


def batch_of(features: torch.Tensor, **teachers: torch.Tensor) -> ClapBatch:
    rows = torch.arange(len(features))
    return ClapBatch(features, features, torch.tensor(1.0), rows, features=features, teachers=teachers)


def objective_for(features: torch.Tensor, geometry: float, **teachers: torch.Tensor) -> Distillation:
    torch.manual_seed(0)
    objective = Distillation(geometry)
    objective.set_widths(2, features.shape[1], {name: target.shape[1] for name, target in teachers.items()})
    return objective


def test_it_equals_a_loop_over_rows_and_pairs():
    torch.manual_seed(1)
    features, target = torch.randn(5, 6), torch.randn(5, 4)
    target[1] = 0
    objective = objective_for(features, 0.3, ear=target)
    student = F.normalize(objective.heads["ear"](features), dim=1)
    known = [0, 2, 3, 4]
    cosines = sum(1 - F.cosine_similarity(student[i], target[i], 0) for i in known) / 5
    pairs = sum(
        (student[i] @ student[j] - F.cosine_similarity(target[i], target[j], 0)) ** 2 for i in known for j in known
    )
    assert objective(batch_of(features, ear=target)).item() == pytest.approx(
        (cosines + 0.3 * pairs / 25).item(), abs=1e-5
    )


def test_a_perfect_student_costs_nothing_and_rows_without_a_target_teach_nothing():
    features = torch.randn(4, 3, requires_grad=True)
    target = 7 * features.detach().clone()
    target[2] = 0
    objective = objective_for(features, 0.2, ear=target)
    torch.nn.init.eye_(objective.heads["ear"].weight)
    torch.nn.init.zeros_(objective.heads["ear"].bias)
    assert objective(batch_of(features, ear=target)).item() == pytest.approx(0.0, abs=1e-6)
    objective(batch_of(features, ear=target.roll(1, 0))).backward()
    assert features.grad[3].norm() == 0 and features.grad[0].norm() > 0


def test_without_teachers_there_is_no_loss_and_of_two_the_mean_is_taken():
    features, one, two = torch.randn(4, 3), torch.randn(4, 2), torch.randn(4, 5)
    assert objective_for(features, 0.2)(batch_of(features)) == {}
    both = objective_for(features, 0.2, one=one, two=two)
    alone = [Distillation() for _ in range(2)]
    for objective, name in zip(alone, ("one", "two"), strict=True):
        objective.heads = torch.nn.ModuleDict({name: both.heads[name]})
    mean = (alone[0](batch_of(features, one=one)) + alone[1](batch_of(features, two=two))) / 2
    assert both(batch_of(features, one=one, two=two)).item() == pytest.approx(float(mean))
