"""Hard negatives: InfoNCE in which the negatives that are most like the positive weigh most."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pretrain.objectives.base import OBJECTIVES, ClapBatch, cosines, require_at_least
from pretrain.objectives.infonce import SoftInfoNCE


@OBJECTIVES.register("hard-negatives")
class HardNegatives(SoftInfoNCE):
    """InfoNCE with negatives weighted by hardness (Robinson et al. 2021, arXiv 2010.04592; MGA-CLAP, Li et al. 2024).

    With logits l, B rows and positives P of row i, L_i = -mean_{p in P} log(e^{l_ip} / sum_j w_ij e^{l_ij}), where
    w_ij = (B - 1) e^{beta l_ij} / sum_{k != j} e^{beta l_ik} for negatives and 1 for positives; the mean of both
    directions. `beta` 0 is soft-infonce.
    """

    def __init__(self, beta: float = 0.15) -> None:
        super().__init__()
        require_at_least(0, beta=beta)
        self.beta = beta

    def forward(self, batch: ClapBatch) -> Tensor:
        targets = self.targets(batch)
        to_text = self._loss(batch.logit_scale * cosines(batch.audio, batch.all_text), targets)
        to_audio = self._loss(batch.logit_scale * cosines(batch.text, batch.all_audio), targets)
        return (to_text + to_audio) / 2

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        share = (self.beta * logits).log_softmax(1)  # logarithms throughout: e^l overflows
        others = torch.log(-torch.expm1(share.clamp(max=-1e-6)))  # of all but the negative itself
        weights = math.log(max(1, logits.shape[1] - 1)) + share - others
        weighted = logits + weights.masked_fill(targets > 0, 0.0)
        return (weighted.logsumexp(1) - (targets * logits).sum(1)).mean()
