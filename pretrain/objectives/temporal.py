"""Temporal contrast: a scene against its twin, in which the same sounds come in another order, or one is another."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from clapgen.training.joined_batch import joined_mean
from pretrain.objectives.base import OBJECTIVES, ClapBatch, Objective, require_at_least


@OBJECTIVES.register("temporal")
class Temporal(Objective):
    """Each scene's sound between its own text and its twin's, and its text between both sounds (TeminAL B, 2408.09269).

    With the twin j of row i and logits l, L_i = -(log(e^{l_ii} / (e^{l_ii} + beta e^{l_ij})) +
    log(e^{l_ii} / (e^{l_ii} + beta e^{l_ji}))) / 2, averaged over the rows that have a twin. `beta` weighs the twin: a
    larger one asks for a larger distance to it.
    """

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        require_at_least(1e-6, beta=beta)
        self.beta = beta

    def forward(self, batch: ClapBatch) -> Tensor:
        twins = torch.tensor([-1 if row.twin is None else row.twin for row in batch.rows], device=batch.audio.device)
        twin = twins.clamp(min=0)
        # the difference first: the cosines themselves differ in the third digit
        to_text = (batch.audio * (batch.text[twin] - batch.text)).sum(1)
        to_audio = (batch.text * (batch.audio[twin] - batch.audio)).sum(1)
        differences = batch.logit_scale * torch.stack([to_text, to_audio]) + math.log(self.beta)
        return joined_mean(F.softplus(differences), twins >= 0)
