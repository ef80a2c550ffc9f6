"""Text memory: an audio embedding is replaced by a mixture of the training text embeddings nearest to it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from captioning.bridges.base import BRIDGES, Bridge, BridgeData, require
from captioning.bridges.neighbours import cosine_blocks, sample_by_weight, unique_strings
from clapgen.errors import ClapgenError

MIN_LOG_PRIOR = -30.0  # for a sentence that is never drawn, such as a held-out one


@dataclass
class MemoryConfig:
    """Settings of the bridges `memory` and `nearest`.

    `temperature` is that of the softmax over the memory; with `prior`, sentences that are drawn more often weigh more.
    At most `size` different sentences are stored (0: all), and the `top_k` nearest are mixed (0: all).
    """

    temperature: float = 0.03
    prior: bool = True
    normalise: bool = True
    size: int = 10_000
    top_k: int = 0


@BRIDGES.register("memory")
class MemoryBridge(Bridge):
    """Projection on a text memory T: softmax(a T^t / temperature) T (DeCap, Li et al. 2023; WSAC's `pd`, 2023).

    WSAC divides by 0.01 and normalises the result; DRCap divides by its CLAP's temperature and does not (`normalise`).
    Ours are the `prior`, which weighs a sentence by how often it is drawn in training (CIDEr-D 0.04 higher on the
    default CLAP), and a memory of limited `size` sampled by the same weight, which generalises better to new audio than
    an equally large memory of sentences that lie far apart. The decoder is trained on plain text.
    """

    section = "memory"
    maps_audio_to_text = True
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

    def fit(self, data: BridgeData) -> None:
        rows = torch.arange(len(data.text)) if data.memory_rows is None else data.memory_rows
        if not len(rows):
            raise ClapgenError(f"the bridge '{self.name}' has no sentence to store; set text=FILE with some.")
        first, index = unique_strings([data.captions[row] for row in rows.tolist()])
        drawn = torch.ones(len(data.text)) if data.weights is None else data.weights.float().cpu()
        weights = torch.zeros(len(first)).index_add(0, index, drawn[rows])
        if not self.config.prior:
            weights = torch.ones_like(weights)
        kept = sample_by_weight(weights, self.config.size)
        self.memory = data.text[rows[first[kept]]].to(self.memory)
        self.log_prior = (weights[kept] / weights[kept].max()).log().clamp(min=MIN_LOG_PRIOR).to(self.log_prior)

    @torch.no_grad()
    def audio(self, embeddings: Tensor) -> Tensor:
        projected = torch.empty_like(embeddings, dtype=torch.float32)
        for block, cosines in cosine_blocks(embeddings, self.memory):
            projected[block] = self._project(cosines)
        return F.normalize(projected, dim=-1) if self.config.normalise else projected

    def _project(self, cosines: Tensor) -> Tensor:
        """Mean of the memory (rows, dim), weighted by cosines (n, rows)."""
        if 0 < self.config.top_k < len(self.memory):
            best, indices = cosines.topk(self.config.top_k, dim=1)
            weights = (best / self.config.temperature + self.log_prior[indices]).softmax(1)
            return (weights[:, None] @ self.memory[indices])[:, 0]
        return (cosines / self.config.temperature + self.log_prior).softmax(1) @ self.memory

    def describe(self) -> dict[str, float | str]:
        return {"sentences in memory": len(self.memory), "temperature": self.config.temperature}


@BRIDGES.register("nearest")
class NearestBridge(MemoryBridge):
    """The nearest text embedding in place of the audio embedding (`nnd` in WSAC, Kouzelis & Katsouros 2023)."""

    def _project(self, cosines: Tensor) -> Tensor:
        return self.memory[cosines.argmax(1)]

    def describe(self) -> dict[str, float | str]:
        return {"sentences in memory": len(self.memory)}
