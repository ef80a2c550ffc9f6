"""Given negatives: each sound must also tell its text from sentences that are nearly true of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from pretrain.objectives.base import OBJECTIVES, BatchRow, ClapBatch, cosines, require_at_least
from pretrain.objectives.infonce import SoftInfoNCE
from pretrain.objectives.row_sentences import pack, some_of, unpack


@OBJECTIVES.register("given-negatives")
class GivenNegatives(SoftInfoNCE):
    """InfoNCE whose softmax from audio to text also holds the row's own negatives N (CompA stage 2, Ghosh et al. 2024).

    L_i = -mean_{p in P} log(e^{l_ip} / (sum_j e^{l_ij} + sum_{n in N_i} e^{l_in})) for the sound i, with its positives
    P among the texts j of the batch as in soft-infonce; from text to audio as there; halved.
    `count` negatives of the row's scene are drawn; a row without negatives is as in soft-infonce.
    """

    def __init__(self, count: int = 3) -> None:
        super().__init__()
        require_at_least(1, count=count)
        self.count = count

    def draw(self, rows: Sequence[BatchRow], generator: torch.Generator) -> dict[str, Tensor | list[str]]:
        """`negatives` of each row, `count` at most."""
        negatives = [[n.caption for n in row.scene.negatives] if row.scene else [] for row in rows]
        return pack("negatives", [some_of(own, self.count, generator) for own in negatives], self.count)

    def forward(self, batch: ClapBatch) -> Tensor:
        targets = self.targets(batch)
        logits = batch.logit_scale * cosines(batch.audio, batch.all_text)
        to_text = (_with_own(logits, batch).logsumexp(1) - (targets * logits).sum(1)).mean()
        to_audio = F.cross_entropy(batch.logit_scale * cosines(batch.text, batch.all_audio), targets)
        return (to_text + to_audio) / 2


def _with_own(logits: Tensor, batch: ClapBatch) -> Tensor:
    negatives, exist = unpack("negatives", batch)
    own = batch.logit_scale * cosines(batch.audio[:, None], negatives)[:, 0]
    return torch.cat([logits, own.masked_fill(~exist, float("-inf"))], 1)
