"""Gaussian noise on text embeddings: the decoder learns to read their neighbourhood, where audio embeddings lie."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from captioning.bridges.base import BRIDGES, Bridge, BridgeData, paired_embeddings, require


@dataclass
class NoiseConfig:
    """`variance` is per dimension, as in the papers' code. `std_of_length`, if above 0, replaces it by the expected
    length of the noise relative to the embedding's length of 1, which is independent of the width."""

    variance: float = 0.003
    std_of_length: float = 0.0


@dataclass
class CalibratedNoiseConfig:
    """Number of audio-text pairs from which the noise level is estimated."""

    pairs: int = 30


def add_noise(embeddings: Tensor, std: float | Tensor, generator: torch.Generator) -> Tensor:
    """Normalise (n, dim), add Gaussian noise of `std` per dimension, drawn on the CPU, and normalise again."""
    noise = torch.randn(embeddings.shape, generator=generator).to(embeddings.device)
    return F.normalize(F.normalize(embeddings, dim=-1) + std * noise, dim=-1)


def expected_cosine(std: float, dim: int) -> float:
    """Expected cosine of an embedding of width `dim` with itself after `add_noise`: 1 / sqrt(1 + dim * std²)."""
    return 1 / math.sqrt(1 + dim * std**2)


def describe_noise(std: float, dim: int) -> dict[str, float | str]:
    """What noise of `std` per dimension amounts to at this width."""
    return {
        "noise variance per dimension": std**2,
        "noise length": std * math.sqrt(dim),
        "expected cosine": expected_cosine(std, dim),
    }


@BRIDGES.register("noise")
class NoiseBridge(Bridge):
    """Noise injection in training (CapDec, Nukrai et al. 2022; NoAudioCaptioning, Deshmukh et al. 2023)."""

    section = "noise"

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


@BRIDGES.register("noise-calibrated")
class CalibratedNoiseBridge(Bridge):
    """Noise whose std is the mean infinity norm of audio - text over a few pairs.

    MATS (2025) reports that NoAudioCaptioning (Deshmukh et al. 2023) sets its noise from the infinity norm of the
    differences of 30 pairs; we have not seen this in either paper's code. That the norm is the standard deviation and
    not the variance is our reading: CapDec's variance of 0.016 is 0.126 squared, MATS's 0.015 is 0.122 squared, and
    such norms are 0.14 to 0.18 on the default CLAP.
    """

    section = "noise_calibrated"
    reads_pairs = True
    std: Tensor

    def __init__(self, config: CalibratedNoiseConfig, dim: int) -> None:
        super().__init__()
        require(config.pairs >= 1, "noise_calibrated.pairs", config.pairs, "1 or more")
        self.dim, self.pairs = dim, config.pairs
        self.register_buffer("std", torch.zeros(()))

    def fit(self, data: BridgeData) -> None:
        audio, text = paired_embeddings(data, self.name)
        chosen = torch.randperm(len(audio), generator=torch.Generator().manual_seed(0))[: self.pairs]
        self.std.copy_((audio[chosen] - text[chosen]).abs().amax(1).mean())

    def augment(self, embeddings: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
        return add_noise(embeddings, self.std, generator)

    def describe(self) -> dict[str, float | str]:
        return describe_noise(float(self.std), self.dim)
