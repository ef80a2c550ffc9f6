"""A memory of sentences: a sound's embedding is rebuilt from the text embeddings that are near it."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from captioning.bridges.base import Bridge, Corpus, require
from captioning.bridges.config import MemoryConfig
from captioning.bridges.neighbours import cosine_blocks, draw_places, first_of_each
from clapgen.errors import ClapgenError

LEAST_LOG_PRIOR = -30.0  # of a sentence that is never drawn, such as a held-out one


class MemoryBridge(Bridge):
    """Projection on a text memory T: softmax(a T^t / temperature) T (DeCap, Li et al. 2023; WSAC's `pd`, 2023).

    WSAC divides by 0.01 and brings the result to length 1; DRCap divides by its CLAP's learned temperature and does
    not (`normalise`). Ours are: with `prior` a sentence weighs as much as it is drawn in training (captions on the
    default CLAP: CIDEr-D 0.04 higher); `size` keeps that many distinct sentences, drawn by the same weight, which
    serves unheard sounds better than as many that lie far apart; `top_k` lets only the nearest take part. In training
    the decoder sees plain text.
    """

    name = "memory"
    memory: Tensor
    log_prior: Tensor

    def __init__(self, config: MemoryConfig, dim: int) -> None:
        super().__init__()
        require(0 < config.temperature < math.inf, "memory.temperature", config.temperature, "more than 0")
        require(config.size >= 0, "memory.size", config.size, "0 (all) or more")
        require(config.top_k >= 0, "memory.top_k", config.top_k, "0 (all) or more")
        self.config = config
        self.register_buffer("memory", torch.zeros(0, dim))
        self.register_buffer("log_prior", torch.zeros(0))

    def fit(self, corpus: Corpus) -> None:
        rows = torch.arange(len(corpus.text)) if corpus.memory_rows is None else corpus.memory_rows
        if not len(rows):
            raise ClapgenError(f"the bridge '{self.name}' has no sentence to remember; give text=FILE with some.")
        first, which = first_of_each([corpus.captions[row] for row in rows.tolist()])
        drawn = torch.ones(len(corpus.text)) if corpus.weights is None else corpus.weights.float().cpu()
        weights = torch.zeros(len(first)).index_add(0, which, drawn[rows])
        if not self.config.prior:
            weights = torch.ones_like(weights)
        kept = draw_places(weights, self.config.size)
        self.memory = corpus.text[rows[first[kept]]].to(self.memory)
        self.log_prior = (weights[kept] / weights[kept].max()).log().clamp(min=LEAST_LOG_PRIOR).to(self.log_prior)

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
            weights = (kept / self.config.temperature + self.log_prior[places]).softmax(1)
            return (weights[:, None] @ self.memory[places])[:, 0]
        return (cosines / self.config.temperature + self.log_prior).softmax(1) @ self.memory

    def describe(self) -> dict[str, float | str]:
        return {"sentences in memory": len(self.memory), "temperature": self.config.temperature}


class NearestBridge(MemoryBridge):
    """The text embedding nearest to the sound's, in its place (WSAC's `nnd`, Kouzelis & Katsouros 2023)."""

    name = "nnd"

    def _project(self, cosines: Tensor) -> Tensor:
        return self.memory[cosines.argmax(1)]

    def describe(self) -> dict[str, float | str]:
        return {"sentences in memory": len(self.memory)}
