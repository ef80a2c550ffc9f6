"""A memory of sentences: a sound's embedding is rebuilt from the text embeddings that are near it."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from captioning.bridges.base import Bridge, Corpus, require
from captioning.bridges.config import MemoryConfig
from captioning.bridges.neighbours import cosine_blocks, first_of_each, sample_places
from clapgen.errors import ClapgenError


class MemoryBridge(Bridge):
    """Projection on a text memory T: softmax(a T^t / temperature) T (DeCap, Li et al. 2023; WSAC's `pd`, 2023).

    WSAC divides by 0.01 and brings the result to length 1; DRCap divides by its CLAP's learned temperature and does
    not (`normalise`). `size` keeps that many distinct sentences, drawn at random: measured on the default CLAP they
    serve sounds that it has not heard better than as many that lie far apart (k-means|| seeding), which over-count
    the odd ones. `top_k` lets only the nearest take part. Both are ours. In training the decoder sees plain text.
    """

    name = "memory"
    memory: Tensor

    def __init__(self, config: MemoryConfig, dim: int) -> None:
        super().__init__()
        require(0 < config.temperature < math.inf, "memory.temperature", config.temperature, "more than 0")
        require(config.size >= 0, "memory.size", config.size, "0 (all) or more")
        require(config.top_k >= 0, "memory.top_k", config.top_k, "0 (all) or more")
        self.config = config
        self.register_buffer("memory", torch.zeros(0, dim))

    def fit(self, corpus: Corpus) -> None:
        rows = torch.arange(len(corpus.text)) if corpus.memory_rows is None else corpus.memory_rows
        if not len(rows):
            raise ClapgenError(f"the bridge '{self.name}' has no sentence to remember; give text=FILE with some.")
        distinct = corpus.text[rows[first_of_each([corpus.captions[row] for row in rows.tolist()])[0]]]
        self.memory = distinct[sample_places(len(distinct), self.config.size)].to(self.memory)

    @torch.no_grad()
    def audio(self, embeddings: Tensor) -> Tensor:
        projected = torch.empty_like(embeddings, dtype=torch.float32)
        for block, cosines in cosine_blocks(embeddings, self.memory):
            projected[block] = self._project(cosines)
        return F.normalize(projected, dim=-1) if self.config.normalise else projected

    def _project(self, cosines: Tensor) -> Tensor:
        """Mean of the memory (rows, dim), weighted by cosines (n, rows)."""
        if 0 < self.config.top_k < len(self.memory):
            kept, places = cosines.topk(self.config.top_k, dim=1)
            weights = (kept / self.config.temperature).softmax(1)
            return (weights[:, None] @ self.memory[places])[:, 0]
        return (cosines / self.config.temperature).softmax(1) @ self.memory

    def describe(self) -> dict[str, float | str]:
        return {"sentences in memory": len(self.memory), "temperature": self.config.temperature}


class NearestBridge(MemoryBridge):
    """The text embedding nearest to the sound's, in its place (WSAC's `nnd`, Kouzelis & Katsouros 2023)."""

    name = "nnd"

    def _project(self, cosines: Tensor) -> Tensor:
        return self.memory[cosines.argmax(1)]

    def describe(self) -> dict[str, float | str]:
        return {"sentences in memory": len(self.memory)}
