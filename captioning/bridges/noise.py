"""Gaussian noise on text embeddings: the decoder learns to read a neighbourhood, in which the audio lies."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from captioning.bridges.base import Bridge
from captioning.bridges.config import NoiseConfig


def add_noise(embeddings: Tensor, std: float | Tensor, generator: torch.Generator) -> Tensor:
    """Normalise, add Gaussian noise of `std` per dimension, normalise again; drawn on the CPU from `generator`."""
    noise = torch.randn(embeddings.shape, generator=generator).to(embeddings.device)
    return F.normalize(F.normalize(embeddings, dim=-1) + std * noise, dim=-1)


def expected_cosine(std: float, dim: int) -> float:
    """Cosine to expect between an embedding of width `dim` and itself after `add_noise`: 1 / sqrt(1 + dim * std²)."""
    return 1 / math.sqrt(1 + dim * std**2)


class NoiseBridge(Bridge):
    """Noise injection in training (CapDec, Nukrai et al. 2022; NoAudioCaptioning, Deshmukh et al. 2023)."""

    name = "noise"

    def __init__(self, config: NoiseConfig, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.std = config.std_of_length / math.sqrt(dim) if config.std_of_length > 0 else math.sqrt(config.variance)

    def augment(self, embeddings: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
        return add_noise(embeddings, self.std, generator)

    def describe(self) -> dict[str, float | str]:
        return {
            "noise variance per dimension": self.std**2,
            "noise length": self.std * math.sqrt(self.dim),
            "expected cosine": expected_cosine(self.std, self.dim),
        }
