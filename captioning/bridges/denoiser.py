"""The network of the diffusion bridge: a residual MLP on one embedding, conditioned on the time step."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

TIME_WIDTH = 128


def cosine_schedule(steps: int) -> Tensor:
    """Fraction of signal variance (steps,) left after each step (Nichol & Dhariwal 2021, s = 0.008)."""
    times = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    shape = torch.cos((times + 0.008) / 1.008 * math.pi / 2) ** 2
    return (shape / math.cos(0.008 / 1.008 * math.pi / 2) ** 2).clamp(min=1e-5).float()


class Denoiser(nn.Module):
    """Predicts clean embeddings (n, dim) from noisy ones, both with components near 1, at times (n,) in [0, 1]."""

    def __init__(self, dim: int, width: int, blocks: int) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(TIME_WIDTH, TIME_WIDTH), nn.SiLU())
        self.read = nn.Linear(dim, width)
        self.blocks = nn.ModuleList(DenoiserBlock(width) for _ in range(blocks))
        self.write = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, dim))

    def forward(self, noisy: Tensor, time: Tensor) -> Tensor:
        condition = self.time(_sinusoids(time))
        hidden = self.read(noisy)
        for block in self.blocks:
            hidden = block(hidden, condition)
        return self.write(hidden).float()


class DenoiserBlock(nn.Module):
    """Two residual layers, modulated by the time (adaptive layer norm)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(TIME_WIDTH, 2 * width)
        self.layers = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, hidden: Tensor, condition: Tensor) -> Tensor:
        shift, scale = self.modulation(condition).chunk(2, dim=-1)
        return hidden + self.layers(self.norm(hidden) * (1 + scale) + shift)


def _sinusoids(time: Tensor) -> Tensor:
    frequencies = torch.exp(torch.linspace(0, math.log(1000), TIME_WIDTH // 2, device=time.device))
    angles = time.float()[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
