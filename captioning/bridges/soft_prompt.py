"""Mixed augmentation of soft prompts: now and then a caption is told from the embedding of a related one."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from captioning.bridges.base import Bridge, Corpus, require
from captioning.bridges.config import SoftPromptConfig
from captioning.bridges.neighbours import first_of_each, nearest_others
from captioning.bridges.noise import add_noise, describe_noise


class SoftPromptBridge(Bridge):
    """Related captions and noise in training (Zhang et al. 2024, arXiv 2406.06295).

    With a chance, an embedding gives way to that of one of the nearest other captions of the corpus; then noise is
    added. Sounds pass unchanged. That related means nearest by text cosine, and the chance, are our reading.
    """

    name = "soft-prompt"
    related: Tensor
    corpus_text: Tensor

    def __init__(self, config: SoftPromptConfig, dim: int) -> None:
        super().__init__()
        require(0 <= config.probability <= 1, "soft_prompt.probability", config.probability, "between 0 and 1")
        require(config.neighbours >= 1, "soft_prompt.neighbours", config.neighbours, "1 or more")
        require(0 <= config.variance < math.inf, "soft_prompt.variance", config.variance, "0 or more")
        self.config, self.dim, self.std = config, dim, math.sqrt(config.variance)
        self.register_buffer("related", torch.zeros(0, 0, dtype=torch.long), persistent=False)
        self.register_buffer("corpus_text", torch.zeros(0, dim), persistent=False)

    def fit(self, corpus: Corpus) -> None:
        """Find, for every row of the corpus, rows with the nearest other captions; copies of a caption are one."""
        first, which = first_of_each(list(corpus.captions))
        related = nearest_others(corpus.text[first], self.config.neighbours).cpu()
        self.related = first[related][which].to(self.related.device)
        self.corpus_text = corpus.text.to(self.corpus_text)

    def augment(self, embeddings: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
        count = self.related.shape[1]
        chance = torch.rand(len(rows), generator=generator)
        if count:  # a corpus of one sentence has no other
            drawn = torch.randint(count, (len(rows),), generator=generator).to(self.related.device)
            others = self.corpus_text[self.related[rows.to(self.related.device), drawn]].to(embeddings)
            replaced = (chance < self.config.probability).to(embeddings.device)
            embeddings = torch.where(replaced[:, None], others, embeddings)
        return add_noise(embeddings, self.std, generator)

    def describe(self) -> dict[str, float | str]:
        return {"related captions": self.related.shape[1], **describe_noise(self.std, self.dim)}
