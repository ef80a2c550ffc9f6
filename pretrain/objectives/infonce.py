"""InfoNCE: each sound must find its text among all texts of the batch, and the reverse."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from clapgen.training.joined_batch import process_rank
from pretrain.objectives.base import OBJECTIVES, ClapBatch, Objective, cosines


@OBJECTIVES.register("soft-infonce")
class SoftInfoNCE(Objective):
    """Symmetric cross-entropy with soft targets: rows of one group share the probability (WavCaps; UniCL 2022)."""

    contrastive = True

    def forward(self, batch: ClapBatch) -> Tensor:
        targets = self.targets(batch)
        to_text = F.cross_entropy(batch.logit_scale * cosines(batch.audio, batch.all_text), targets)
        to_audio = F.cross_entropy(batch.logit_scale * cosines(batch.text, batch.all_audio), targets)
        return (to_text + to_audio) / 2

    def targets(self, batch: ClapBatch) -> Tensor:
        """Target distribution (batch, rows of all processes) of each row."""
        return group_targets(batch)


@OBJECTIVES.register("infonce")
class InfoNCE(SoftInfoNCE):
    """Symmetric cross-entropy of each pair against the batch (Radford et al. 2021); groups are ignored."""

    def targets(self, batch: ClapBatch) -> Tensor:
        rows = torch.arange(len(batch.audio), device=batch.audio.device) + len(batch.audio) * process_rank()
        return F.one_hot(rows, len(batch.all_audio)).to(batch.audio.dtype)


def group_targets(batch: ClapBatch) -> Tensor:
    """Targets (batch, rows of all processes) that rows of one group share equally; each row sums to 1."""
    same = (batch.groups[:, None] == batch.all_groups[None, :]).to(batch.audio.dtype)
    return same / same.sum(1, keepdim=True)
