"""Prompt classification: every clip told apart among the prompts of all labels, with the text tower as classifier."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from clapgen.data.manifest import Clip
from pretrain.data.captions import caption_from_labels


def true_names(clip: Clip, class_field: str = "") -> list[str]:
    """The names that are true of a clip: its class if it has one, and its labels."""
    name = clip.extra.get(class_field)
    return list(dict.fromkeys([*([name.replace("_", " ")] if name else []), *clip.labels]))


class PromptClassification(nn.Module):
    """Softmax over the prompts of all names, each true name against the false ones alone (UniCL, Yang et al. 2022).

    The true names of a clip do not compete with one another: "dog" and "bark" are both right.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = list(names)
        self.index = {name: i for i, name in enumerate(self.names)}

    def texts(self, generator: torch.Generator) -> list[str]:
        """A sentence for every name, by a random template."""
        return [caption_from_labels([name], generator) for name in self.names]

    def truth(self, clips: Sequence[Sequence[Clip]], class_field: str) -> Tensor:
        """(rows, names) weights of true names: the first of each mixed clip counts as much as its others together."""
        weights = torch.zeros(len(clips), len(self.names))
        for row, mixed in enumerate(clips):
            for clip in mixed:
                first, others = (names := true_names(clip, class_field))[:1], names[1:]
                for name in first:
                    weights[row, self.index[name]] += 1.0
                for name in others:
                    weights[row, self.index[name]] += 1.0 / len(others)
        return weights / weights.sum(1, keepdim=True).clamp(min=1e-9)

    def forward(self, audio: Tensor, prompts: Tensor, logit_scale: Tensor, truth: Tensor) -> Tensor:
        """Scalar loss of embeddings `audio` (batch, dim) against `prompts` (names, dim); `truth` (batch, names)."""
        logits = logit_scale * audio @ prompts.T
        rivals = logits.masked_fill(truth > 0, float("-inf")).logsumexp(1, keepdim=True)
        surprise = torch.nn.functional.softplus(rivals - logits)  # -log(e^l / (e^l + sum of rivals))
        return (truth * surprise).sum(1).mean()
