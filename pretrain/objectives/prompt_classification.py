"""Prompt classification: classify each clip among prompts for all labels, with the text tower as the classifier."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from clapgen.data.manifest import Clip
from pretrain.data.captions import caption_from_labels, true_names
from pretrain.objectives.base import OBJECTIVES, BatchRow, ClapBatch, Objective, cosines, require_at_least


@OBJECTIVES.register("prompt-classification")
class PromptClassification(Objective):
    """Softmax over the prompts of all names, each true name against the false ones only (UniCL, Yang et al. 2022).

    The true names of a clip do not compete: "dog" and "bark" are both right. Without any names there is no loss.
    Of many names, those of the batch's clips take part and random others, up to `most` (sampled softmax).
    """

    def __init__(self, most: int = 256) -> None:
        super().__init__()
        require_at_least(1, most=most)
        self.most = most
        self.class_field = ""
        self.names: list[str] = []
        self.index: dict[str, int] = {}

    def prepare(self, clips: Sequence[Clip], class_field: str) -> None:
        self.class_field = class_field
        self.names = sorted({name for clip in clips for name in true_names(clip, class_field)})
        self.index = {name: i for i, name in enumerate(self.names)}

    def draw(self, rows: Sequence[BatchRow], generator: torch.Generator) -> dict[str, Tensor | list[str]]:
        """A prompt for each name that takes part, from a random template, and `truth`."""
        if not self.names:
            return {}
        truth = self.truth([row.clips for row in rows])
        chosen = self._chosen(truth, generator)
        prompts = [caption_from_labels([self.names[i]], generator) for i in chosen]
        return {"prompts": prompts, "truth": truth[:, chosen]}

    def _chosen(self, truth: Tensor, generator: torch.Generator) -> list[int]:
        """The numbers of the names that take part, in order: all true ones, and others up to `most`."""
        needed = truth.any(0)
        order = torch.randperm(len(self.names), generator=generator)
        others = order[~needed[order]][: max(0, self.most - int(needed.sum()))]
        return sorted([*needed.nonzero().flatten().tolist(), *others.tolist()])

    def truth(self, clips: Sequence[Sequence[Clip]]) -> Tensor:
        """Weights (rows, names) of the true names; each row sums to 1, or to 0 if its clips have no names.

        Within a clip, its first name (the class, if it has one) weighs as much as all its other names together.
        """
        weights = torch.zeros(len(clips), len(self.names))
        for row, mixed in enumerate(clips):
            for clip in mixed:
                first, others = (names := true_names(clip, self.class_field))[:1], names[1:]
                for name in first:
                    weights[row, self.index[name]] += 1.0
                for name in others:
                    weights[row, self.index[name]] += 1.0 / len(others)
        return weights / weights.sum(1, keepdim=True).clamp(min=1e-9)

    def forward(self, batch: ClapBatch) -> Tensor | dict[str, Tensor]:
        if not self.names:
            return {}
        prompts, truth = batch.extra["prompts"], batch.extra["truth"]
        logits = batch.logit_scale * cosines(batch.audio, prompts)
        rivals = logits.masked_fill(truth > 0, float("-inf")).logsumexp(1, keepdim=True)
        surprise = F.softplus(rivals - logits)  # -log(e^l / (e^l + sum of rivals))
        return (truth * surprise).sum(1).mean()
