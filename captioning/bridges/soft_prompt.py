"""Soft-prompt augmentation: at random, the embedding of a related caption replaces a caption's own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from captioning.bridges.base import BRIDGES, Bridge, BridgeData, require
from captioning.bridges.neighbours import nearest_others, unique_strings
from captioning.bridges.noise import add_noise, describe_noise


@dataclass
class SoftPromptConfig:
    """An embedding is replaced with `probability` by that of one of its `neighbours` nearest other captions; then noise
    of `variance` per dimension is added."""

    probability: float = 0.5
    neighbours: int = 5
    variance: float = 0.003


@BRIDGES.register("soft-prompt")
class SoftPromptBridge(Bridge):
    """Related captions and noise in training (Zhang et al. 2024, arXiv 2406.06295).

    Audio embeddings are unchanged. That "related" means nearest by text cosine, and the probability, are our reading.
    """

    section = "soft_prompt"
    related: Tensor
    all_text: Tensor

    def __init__(self, config: SoftPromptConfig, dim: int) -> None:
        super().__init__()
        require(0 <= config.probability <= 1, "soft_prompt.probability", config.probability, "between 0 and 1")
        require(config.neighbours >= 1, "soft_prompt.neighbours", config.neighbours, "1 or more")
        require(0 <= config.variance < math.inf, "soft_prompt.variance", config.variance, "0 or more")
        self.config, self.dim, self.std = config, dim, math.sqrt(config.variance)
        self.register_buffer("related", torch.zeros(0, 0, dtype=torch.long), persistent=False)
        self.register_buffer("all_text", torch.zeros(0, dim), persistent=False)

    def fit(self, data: BridgeData) -> None:
        """Find for every row the rows with the nearest other captions; copies of a caption count as one."""
        first, index = unique_strings(list(data.captions))
        related = nearest_others(data.text[first], self.config.neighbours).cpu()
        self.related = first[related][index].to(self.related.device)
        self.all_text = data.text.to(self.all_text)

    def augment(self, embeddings: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
        count = self.related.shape[1]
        draws = torch.rand(len(rows), generator=generator)
        if count:  # a single sentence has no neighbours
            drawn = torch.randint(count, (len(rows),), generator=generator).to(self.related.device)
            others = self.all_text[self.related[rows.to(self.related.device), drawn]].to(embeddings)
            replaced = (draws < self.config.probability).to(embeddings.device)
            embeddings = torch.where(replaced[:, None], others, embeddings)
        return add_noise(embeddings, self.std, generator)

    def describe(self) -> dict[str, float | str]:
        return {"related captions": self.related.shape[1], **describe_noise(self.std, self.dim)}
