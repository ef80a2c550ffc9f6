"""Modular contrast: several true sentences of each sound against its own negatives and the sentences of others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from clapgen.training.joined_batch import gather_rows
from pretrain.objectives.base import OBJECTIVES, BatchRow, ClapBatch, Objective, cosines, require_at_least
from pretrain.objectives.row_sentences import pack, some_of, unpack


@OBJECTIVES.register("modular")
class Modular(Objective):
    """Contrast of positives P and negatives N that belong to each sound (CompA stage 3, Ghosh et al. 2024).

    L_i = -mean_{p in P_i} log(e^{l_ip} / (e^{l_ip} + sum over the positives j of other rows e^{l_ij} +
    sum_{n in N_i} e^{l_in})) for the sound i; from text to audio, the cross-entropy of each p in P_i among all sounds;
    halved. Rows of one group are not each other's negatives.
    P_i are the row's text and other captions of its scene, `positives` in all; N_i are up to `negatives` of its scene.
    """

    contrastive = True

    def __init__(self, positives: int = 3, negatives: int = 4) -> None:
        super().__init__()
        require_at_least(1, positives=positives)
        require_at_least(0, negatives=negatives)
        self.positives, self.negatives = positives, negatives

    def draw(self, rows: Sequence[BatchRow], generator: torch.Generator) -> dict[str, Tensor | list[str]]:
        """`captions` of each row in other words than its text, and `negatives`."""
        captions = [[c for c in row.scene.captions if c != row.caption] if row.scene else [] for row in rows]
        negatives = [[n.caption for n in row.scene.negatives] if row.scene else [] for row in rows]
        others, own = self.positives - 1, self.negatives
        drawn = pack("captions", [some_of(texts, others, generator) for texts in captions], others)
        return drawn | pack("negatives", [some_of(texts, own, generator) for texts in negatives], own)

    def forward(self, batch: ClapBatch) -> Tensor:
        captions, exist = unpack("captions", batch)
        positives = torch.cat([batch.text[:, None], captions], 1)  # (batch, positives, dim)
        exist = F.pad(exist, (1, 0), value=True)
        share = exist / exist.sum(1, keepdim=True)
        to_text = self._to_text(batch, positives, exist)
        to_audio = self._to_audio(batch, positives)
        return (share * (to_text + to_audio)).sum(1).mean() / 2

    def _to_text(self, batch: ClapBatch, positives: Tensor, exist: Tensor) -> Tensor:
        """Surprise (batch, positives) of finding each positive of a sound."""
        of_others = gather_rows(exist.float()) > 0
        stranger = batch.groups[:, None] != batch.all_groups[None, :]  # (batch, rows of all processes)
        others = batch.logit_scale * cosines(batch.audio, gather_rows(positives).flatten(0, 1))
        others = others.masked_fill(~(stranger[:, :, None] & of_others).flatten(1), float("-inf"))
        negatives, given = unpack("negatives", batch)
        wrong = batch.logit_scale * cosines(batch.audio[:, None], negatives)[:, 0]
        against = torch.cat([others, wrong.masked_fill(~given, float("-inf"))], 1).logsumexp(1, keepdim=True)
        own = batch.logit_scale * cosines(batch.audio[:, None], positives)[:, 0]
        return F.softplus(against - own)  # -log(e^own / (e^own + e^against))

    def _to_audio(self, batch: ClapBatch, positives: Tensor) -> Tensor:
        """Surprise (batch, positives) of finding the sound of each positive."""
        logits = batch.logit_scale * cosines(positives, batch.all_audio[None])  # (batch, positives, sounds)
        stranger = batch.groups[:, None] != batch.all_groups[None, :]
        against = logits.masked_fill(~stranger[:, None], float("-inf")).logsumexp(2)
        own = batch.logit_scale * cosines(positives, batch.audio[:, None])[:, :, 0]
        return F.softplus(against - own)
