"""Graded targets: rows that share labels are positives of each other to a degree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from clapgen.data.manifest import Clip
from clapgen.data.text import label_key
from clapgen.training.joined_batch import gather_rows, process_rank
from pretrain.data.captions import true_names
from pretrain.objectives.base import OBJECTIVES, BatchRow, ClapBatch, cosines, require_at_least
from pretrain.objectives.distillation import chosen_teachers
from pretrain.objectives.infonce import SoftInfoNCE


@OBJECTIVES.register("graded")
class Graded(SoftInfoNCE):
    """InfoNCE with soft targets w_ij = e^{(s_ij - 1) / temperature} / sum_k e^{(s_ik - 1) / temperature} (after CWCL,
    Srinivasa et al. 2023, arXiv 2309.14580), in both directions.

    The similarity s_ij of two rows is the overlap of their labels, shared over all (Jaccard), mixtures having the
    labels of both clips; or, with `teacher`, the cosine of their targets. It is 1 for rows of one group, and 0 for a
    scene and its twin, which differ although they have the same labels.
    """

    def __init__(self, temperature: float = 0.1, teacher: str = "") -> None:
        super().__init__()
        require_at_least(1e-3, temperature=temperature)
        self.temperature, self.teacher = temperature, teacher
        self.class_field = ""
        self.numbers: dict[str, int] = {}

    def prepare(self, clips: Sequence[Clip], class_field: str) -> None:
        self.class_field = class_field
        keys = dict.fromkeys(key for clip in clips for key in self._keys(clip))
        self.numbers = {key: number for number, key in enumerate(keys)}

    def set_widths(self, dim: int, features: int, teachers: Mapping[str, int]) -> None:
        chosen_teachers(self.teacher, teachers)

    def draw(self, rows: Sequence[BatchRow], generator: torch.Generator) -> dict[str, Tensor | list[str]]:
        """`names` (rows, all names), 1 where a name is true of a row."""
        names = torch.zeros(len(rows), len(self.numbers))
        for row, its in zip(names, rows, strict=True):
            row[[self.numbers[key] for clip in its.clips for key in self._keys(clip)]] = 1.0
        return {} if self.teacher else {"names": names}

    def _keys(self, clip: Clip) -> list[str]:
        return [label_key(name) for name in true_names(clip, self.class_field)]

    def targets(self, batch: ClapBatch) -> Tensor:
        similarity = self._of_targets(batch) if self.teacher else self._of_names(batch)
        similarity = similarity.masked_fill(batch.groups[:, None] == batch.all_groups[None], 1.0)
        first = process_rank() * len(batch.rows)
        twins = [(i, first + row.twin) for i, row in enumerate(batch.rows) if row.twin is not None]
        if twins:
            places = torch.tensor(twins, device=similarity.device)
            similarity = similarity.index_put((places[:, 0], places[:, 1]), similarity.new_zeros(()))
        return (similarity / self.temperature).softmax(1)

    def _of_names(self, batch: ClapBatch) -> Tensor:
        names, all_names = batch.extra["names"], gather_rows(batch.extra["names"])
        shared = cosines(names, all_names)
        either = names.sum(1)[:, None] + all_names.sum(1)[None] - shared
        return shared / either.clamp(min=1)

    def _of_targets(self, batch: ClapBatch) -> Tensor:
        targets = F.normalize(batch.teachers[self.teacher].float(), dim=1)
        return cosines(targets, gather_rows(targets))
