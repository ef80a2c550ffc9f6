"""Distillation: the audio tower learns to predict what a teacher hears in a clip."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clapgen.training.joined_batch import gather_rows
from pretrain.objectives.base import OBJECTIVES, ClapBatch, Objective


@OBJECTIVES.register("distillation")
class Distillation(Objective):
    """1 − cosine of a linear projection of the tower's features and the target, plus the geometry of the batch.

    After tinyCLAP (Paissan & Farella 2023), without text. `geometry` weighs the mean squared difference between the
    similarities of the rows to each other under the teacher and under the student. With several teachers the mean is
    taken. Rows without a target count as zero. The projections are not part of the exported model.
    """

    def __init__(self, geometry: float = 0.2) -> None:
        super().__init__()
        self.geometry = geometry
        self.heads = nn.ModuleDict()

    def set_widths(self, features: int, teachers: Mapping[str, int]) -> None:
        self.heads = nn.ModuleDict({name: nn.Linear(features, width) for name, width in teachers.items()})

    def forward(self, batch: ClapBatch) -> Tensor | dict[str, Tensor]:
        assert batch.features is not None
        losses = []
        for name, head in self.heads.items():
            target = batch.teachers[name]
            known = (target != 0).any(1).float() / len(target)
            student, target = F.normalize(head(batch.features).float(), dim=1), F.normalize(target, dim=1)
            everyone, everything, present = gather_rows(student), gather_rows(target), gather_rows(known)
            apart = (student @ everyone.T - target @ everything.T).square()
            geometry = (known[:, None] * present / (len(present) / len(known)) * apart).sum()
            losses.append((known * (1 - (student * target).sum(1))).sum() + self.geometry * geometry)
        return torch.stack(losses).mean() if losses else {}
