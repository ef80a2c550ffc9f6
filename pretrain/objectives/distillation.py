"""Distillation: the audio tower learns to predict the embedding that a teacher gives a clip."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clapgen.errors import ClapgenError, nearest
from clapgen.training.joined_batch import gather_rows
from pretrain.objectives.base import OBJECTIVES, ClapBatch, Objective, cosines, require_at_least


@OBJECTIVES.register("distillation")
class Distillation(Objective):
    """1 − cosine of a linear projection of the tower's features and the target, plus the geometry of the batch.

    After tinyCLAP (Paissan & Farella 2023), without text. `geometry` weighs the mean squared difference between the
    similarities of the rows to each other under the teacher and under the student. `teacher` names one of the recipe's
    teachers; without it the mean over all is taken. Rows without a target count as zero. The projections are not part
    of the exported model.
    """

    def __init__(self, geometry: float = 0.2, teacher: str = "") -> None:
        super().__init__()
        require_at_least(0, geometry=geometry)
        self.geometry, self.teacher = geometry, teacher
        self.heads = nn.ModuleDict()

    def set_widths(self, dim: int, features: int, teachers: Mapping[str, int]) -> None:
        chosen = chosen_teachers(self.teacher, teachers)
        self.heads = nn.ModuleDict({name: nn.Linear(features, teachers[name]) for name in chosen})

    def forward(self, batch: ClapBatch) -> Tensor | dict[str, Tensor]:
        assert batch.features is not None
        losses = []
        for name, head in self.heads.items():
            student = F.normalize(head(batch.features).float(), dim=1)
            apart, geometry = distances(student, batch.teachers[name])
            losses.append(apart + self.geometry * geometry)
        return torch.stack(losses).mean() if losses else {}


@OBJECTIVES.register("embedding-distillation")
class EmbeddingDistillation(Objective):
    """The embedding itself follows a teacher's: one of the same space, such as the mean of several checkpoints.

    The loss is that of `distillation` without the projection. With `aligned` false only the geometry counts, weighted
    by `geometry`: the similarities of the rows to each other (relational distillation, Park et al. 2019), for teachers
    of another space.
    """

    def __init__(self, geometry: float = 0.2, teacher: str = "", aligned: bool = True) -> None:
        super().__init__()
        require_at_least(0, geometry=geometry)
        self.geometry, self.teacher, self.aligned = geometry, teacher, aligned
        self.chosen: tuple[str, ...] = ()

    def set_widths(self, dim: int, features: int, teachers: Mapping[str, int]) -> None:
        self.chosen = chosen_teachers(self.teacher, teachers)

    def keeps_mean(self, teacher: str) -> bool:
        return self.aligned and teacher in self.chosen  # without the mean they would be in another space

    def forward(self, batch: ClapBatch) -> Tensor | dict[str, Tensor]:
        losses = []
        for name in self.chosen:
            target, dim = batch.teachers[name], batch.audio.shape[1]
            if self.aligned and target.shape[1] != dim:
                raise ClapgenError(
                    f"the teacher '{name}' has embeddings of width {target.shape[1]} and the CLAP of width {dim}; set "
                    "the option 'aligned' of embedding-distillation to false"
                )
            apart, geometry = distances(batch.audio, target, paired=self.aligned)
            losses.append(apart + self.geometry * geometry)
        return torch.stack(losses).mean() if losses else {}


def distances(student: Tensor, target: Tensor, paired: bool = True) -> tuple[Tensor, Tensor]:
    """How far a student (batch, dim) of length 1 is from its targets, as two means over the batch of all processes.

    Args:
        target: (batch, width), of any length; a row of zeros is none, and counts as no distance.
        paired: whether the student is compared with its own target, which must then be as wide; if not, the first mean
            is 0.

    Returns: the mean of 1 − cosine of each row to its target, and the mean over all pairs of rows of the squared
        difference between their cosine under the student and under the teacher.
    """
    known = (target != 0).any(1).float() / len(target)
    target = F.normalize(target.float(), dim=1)
    everyone, everything, present = gather_rows(student), gather_rows(target), gather_rows(known)
    apart = (cosines(student, everyone) - cosines(target, everything)).square()
    geometry = (known[:, None] * present / (len(present) / len(known)) * apart).sum()
    own = (known * (1 - (student * target).sum(1))).sum() if paired else geometry.new_zeros(())
    return own, geometry


def check_teachers(objectives: Iterable[Objective], teachers: Collection[str]) -> None:
    """ClapgenError if objectives need a teacher and there is none, or if there are teachers that no objective needs."""
    learning = any(isinstance(objective, Distillation | EmbeddingDistillation) for objective in objectives)
    if learning and not teachers:
        raise ClapgenError(
            "distillation needs a teacher: set teachers.NAME=FILE to a table of `clapgen pretrain teacher`"
        )
    if teachers and not learning:
        raise ClapgenError("no objective learns from the teachers; set one, e.g. objectives.distillation=2")


def chosen_teachers(name: str, teachers: Mapping[str, int]) -> tuple[str, ...]:
    """The teacher with this name, or all without one.

    Raises:
        ClapgenError: there is none with this name.
    """
    if name and name not in teachers:
        known = f"Teachers: {', '.join(teachers)}." if teachers else "Name its file: teachers.NAME=FILE."
        raise ClapgenError(f"the recipe has no teacher '{name}'.{nearest(name, teachers)} {known}")
    return (name,) if name else tuple(teachers)
