"""Gaussian noise on text embeddings: the decoder learns to read a neighbourhood, in which the audio lies."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from captioning.bridges.base import Bridge, Corpus, paired_embeddings, require
from captioning.bridges.config import CalibratedNoiseConfig, NoiseConfig


def add_noise(embeddings: Tensor, std: float | Tensor, generator: torch.Generator) -> Tensor:
    """Normalise, add Gaussian noise of `std` per dimension, normalise again; drawn on the CPU from `generator`."""
    noise = torch.randn(embeddings.shape, generator=generator).to(embeddings.device)
    return F.normalize(F.normalize(embeddings, dim=-1) + std * noise, dim=-1)


def expected_cosine(std: float, dim: int) -> float:
    """Cosine to expect between an embedding of width `dim` and itself after `add_noise`: 1 / sqrt(1 + dim * std²)."""
    return 1 / math.sqrt(1 + dim * std**2)


def describe_noise(std: float, dim: int) -> dict[str, float | str]:
    """What noise of `std` per dimension means at this width."""
    return {
        "noise variance per dimension": std**2,
        "noise length": std * math.sqrt(dim),
        "expected cosine": expected_cosine(std, dim),
    }


class NoiseBridge(Bridge):
    """Noise injection in training (CapDec, Nukrai et al. 2022; NoAudioCaptioning, Deshmukh et al. 2023)."""

    name = "noise"

    def __init__(self, config: NoiseConfig, dim: int) -> None:
        super().__init__()
        require(0 <= config.variance < math.inf, "noise.variance", config.variance, "0 or more")
        require(0 <= config.std_of_length < math.inf, "noise.std_of_length", config.std_of_length, "0 or more")
        self.dim = dim
        self.std = config.std_of_length / math.sqrt(dim) if config.std_of_length > 0 else math.sqrt(config.variance)

    def augment(self, embeddings: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
        return add_noise(embeddings, self.std, generator)

    def describe(self) -> dict[str, float | str]:
        return describe_noise(self.std, self.dim)


class CalibratedNoiseBridge(Bridge):
    """Noise as strong as a few audio-text pairs say: its std is the mean infinity norm of audio - text.

    That the strength of NoAudioCaptioning's noise (Deshmukh et al. 2023) comes from the infinity norm of the
    differences of 30 pairs is reported of MATS (2025), which follows it; we have not seen it in the papers' own code.
    That the norm is the standard deviation, not the variance, is our reading: CapDec's variance of 0.016 is 0.126
    squared, and MATS's 0.015 is 0.122 squared, about what such norms are (0.14 to 0.18 on the default CLAP).
    """

    name = "noise-calibrated"
    reads_pairs = True
    std: Tensor

    def __init__(self, config: CalibratedNoiseConfig, dim: int) -> None:
        super().__init__()
        require(config.pairs >= 1, "noise_calibrated.pairs", config.pairs, "1 or more")
        self.dim, self.pairs = dim, config.pairs
        self.register_buffer("std", torch.zeros(()))

    def fit(self, corpus: Corpus) -> None:
        audio, text = paired_embeddings(corpus, self.name)
        chosen = torch.randperm(len(audio), generator=torch.Generator().manual_seed(0))[: self.pairs]
        self.std.copy_((audio[chosen] - text[chosen]).abs().amax(1).mean())

    def augment(self, embeddings: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
        return add_noise(embeddings, self.std, generator)

    def describe(self) -> dict[str, float | str]:
        return describe_noise(float(self.std), self.dim)
