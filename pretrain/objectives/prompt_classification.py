"""Prompt classification: classify each clip among prompts for all labels, with the text tower as the classifier."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from clapgen.data.manifest import Clip
from pretrain.data.captions import caption_from_labels, true_names
from pretrain.objectives.base import OBJECTIVES, BatchRow, ClapBatch, Objective


@OBJECTIVES.register("prompt-classification")
class PromptClassification(Objective):
    """Softmax over the prompts of all names, each true name against the false ones only (UniCL, Yang et al. 2022).

    The true names of a clip do not compete: "dog" and "bark" are both right. Without any names there is no loss.
    """

    def __init__(self) -> None:
        super().__init__()
        self.class_field = ""
        self.names: list[str] = []
        self.index: dict[str, int] = {}

    def prepare(self, clips: Sequence[Clip], class_field: str) -> None:
        self.class_field = class_field
        self.names = sorted({name for clip in clips for name in true_names(clip, class_field)})
        self.index = {name: i for i, name in enumerate(self.names)}

    def draw(self, rows: Sequence[BatchRow], generator: torch.Generator) -> dict[str, Tensor | list[str]]:
        """A prompt for every name, from a random template, and `truth`."""
        if not self.names:
            return {}
        return {
            "prompts": [caption_from_labels([name], generator) for name in self.names],
            "truth": self.truth([row.clips for row in rows]),
        }

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
        logits = batch.logit_scale * batch.audio @ prompts.T
        rivals = logits.masked_fill(truth > 0, float("-inf")).logsumexp(1, keepdim=True)
        surprise = F.softplus(rivals - logits)  # -log(e^l / (e^l + sum of rivals))
        return (truth * surprise).sum(1).mean()
