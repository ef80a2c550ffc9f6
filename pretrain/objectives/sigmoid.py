"""Sigmoid loss: every pair of the batch is a binary classification, match or not."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain.objectives.base import OBJECTIVES, ClapBatch, Objective, cosines


@OBJECTIVES.register("sigmoid")
class Sigmoid(Objective):
    """Binary cross-entropy of all pairs with a learned bias (SigLIP, Zhai et al. 2023; GLAP), over the batch size."""

    contrastive = True

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(-10.0))

    def forward(self, batch: ClapBatch) -> Tensor:
        same = batch.groups[:, None] == batch.all_groups[None, :]
        logits = batch.logit_scale * cosines(batch.audio, batch.all_text) + self.bias
        return -F.logsigmoid(torch.where(same, logits, -logits)).sum() / len(batch.audio)
