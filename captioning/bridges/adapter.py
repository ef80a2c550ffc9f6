"""Learnable adapter: a small network that learns to denoise text embeddings and is then applied to audio."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioning.bridges.base import BRIDGES, Bridge, require
from captioning.bridges.noise import add_noise, describe_noise
from clapgen.training.seeds import seeded


@dataclass
class AdapterConfig:
    """A residual MLP of `blocks` blocks, `width` wide, that learns to remove noise of `variance` per dimension."""

    width: int = 512
    blocks: int = 2
    variance: float = 0.015


@BRIDGES.register("adapter")
class AdapterBridge(Bridge):
    """Learnable adapter (NoAudioCaptioning, Deshmukh et al. 2023), here a residual MLP.

    It learns to denoise text embeddings, and treats audio embeddings as noisy text; the decoder is trained on its
    output. The paper's abstract mentions an adapter but not its layers, size or loss: those are ours.
    """

    section = "adapter"

    def __init__(self, config: AdapterConfig, dim: int) -> None:
        super().__init__()
        require(config.width >= 1, "adapter.width", config.width, "1 or more")
        require(config.blocks >= 1, "adapter.blocks", config.blocks, "1 or more")
        require(0 <= config.variance < math.inf, "adapter.variance", config.variance, "0 or more")
        self.dim, self.std = dim, math.sqrt(config.variance)
        with seeded(0):
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, config.width), nn.GELU(), nn.Linear(config.width, dim))
                for _ in range(config.blocks)
            )

    def forward(self, embeddings: Tensor) -> Tensor:
        """Noisy embeddings (n, dim) to clean ones of length 1."""
        hidden = embeddings * math.sqrt(self.dim)  # components near 1, as the layers expect
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return F.normalize(hidden.float(), dim=-1)

    @torch.no_grad()
    def augment(self, embeddings: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
        return self(add_noise(embeddings, self.std, generator))

    @torch.no_grad()
    def audio(self, embeddings: Tensor) -> Tensor:
        return self(F.normalize(embeddings, dim=-1))

    def loss(self, embeddings: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
        """1 - cosine of the denoised and the clean text embedding: half their squared distance."""
        adapted = self(add_noise(embeddings, self.std, generator))
        return 1 - (adapted * F.normalize(embeddings, dim=-1)).sum(-1).mean()

    def describe(self) -> dict[str, float | str]:
        return {"parameters": sum(p.numel() for p in self.parameters()), **describe_noise(self.std, self.dim)}
