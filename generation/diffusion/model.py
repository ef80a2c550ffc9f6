"""The diffusion transformer: predicts the velocity of latents, conditioned on time, CLAP embedding and duration.

Trained by flow matching (Lipman et al. 2022; rectified flow, Liu et al. 2022): x_t = (1 - t) x_0 + t noise, and the
network predicts noise - x_0. The paths are nearly straight, so few steps suffice, and no noise schedule needs tuning.
The blocks are DiT's (Peebles & Xie 2022): adaLN-zero, with rotary positions.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from generation.diffusion.config import DiffusionConfig


class Attention(nn.Module):
    """Self-attention with rotary positions (Su et al. 2021) and normalised queries and keys."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.query_norm, self.key_norm = nn.RMSNorm(width // heads), nn.RMSNorm(width // heads)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], attention_mask: Tensor | None) -> Tensor:
        q, k, v = rearrange(self.qkv(x), "b t (three h d) -> three b h t d", three=3, h=self.heads)
        # in float32: angles and norms lose too much in bfloat16
        q, k = rotate(self.query_norm(q.float()), rotation), rotate(self.key_norm(k.float()), rotation)
        y = attend(q.to(v.dtype), k.to(v.dtype), v, attention_mask)
        return self.out(rearrange(y, "b h t d -> b t (h d)"))


class Block(nn.Module):
    """Attention and MLP, each shifted, scaled and gated by the condition (adaLN-zero)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False)
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(
        self, x: Tensor, condition: Tensor, rotation: tuple[Tensor, Tensor], attention_mask: Tensor | None
    ) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition)[:, None].chunk(6, dim=-1)
        x = x + gate1 * self.attention(self.norm1(x) * (1 + scale1) + shift1, rotation, attention_mask)
        return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)


class DiffusionTransformer(nn.Module):
    """Velocity of latents (batch, latent_dim, frames) at a time in [0, 1], 1 being pure noise."""

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.input = nn.Linear(config.latent_dim, width)
        self.time_embedding = _embedding_mlp(width)
        self.duration_embedding = _embedding_mlp(width)
        self.condition_embedding = nn.Sequential(
            nn.Linear(config.condition_dim, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.null_condition = nn.Parameter(torch.zeros(config.condition_dim))
        self.context_projection = nn.Linear(config.context_dim, width)
        self.blocks = nn.ModuleList(Block(width, config.heads) for _ in range(config.layers))
        self.final_norm = nn.LayerNorm(width, elementwise_affine=False)
        self.final_modulation = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, config.latent_dim)
        for layer in (self.final_modulation, self.output):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        latents: Tensor,
        time: Tensor,
        condition: Tensor,
        seconds: Tensor,
        mask: Tensor | None = None,
        context: Tensor | None = None,
        context_mask: Tensor | None = None,
    ) -> Tensor:
        """Velocity (batch, latent_dim, frames).

        Args:
            latents: noisy latents (batch, latent_dim, frames).
            time: (batch,) in [0, 1].
            condition: CLAP embeddings (batch, condition_dim) of length 1, or `null_condition` for none; scaled by
                sqrt(condition_dim) inside.
            seconds: (batch,) duration of the sound.
            mask: (batch, frames), false for padding; None if there is none.
            context: additional tokens (batch, tokens, context_dim) to attend to, such as retrieved neighbours.
            context_mask: (batch, tokens), false for context tokens to ignore.
        """
        x = self.input(latents.transpose(1, 2))
        frames = x.shape[1]
        embedding = (
            self.time_embedding(sinusoidal_features(time, self.config.width))
            + self.duration_embedding(sinusoidal_features(seconds / self.config.max_seconds, self.config.width))
            + self.condition_embedding(condition * math.sqrt(self.config.condition_dim))
        )
        embedding = F.silu(embedding)
        if context is not None:
            x = torch.cat([x, self.context_projection(context).to(x.dtype)], dim=1)
        attention_mask = _attention_mask(x, frames, mask, context, context_mask)
        rotation = rotation_angles(frames, x.shape[1], self.config.width // self.config.heads, x)
        for block in self.blocks:
            x = block(x, embedding, rotation, attention_mask)
        shift, scale = self.final_modulation(embedding)[:, None].chunk(2, dim=-1)
        return self.output(self.final_norm(x[:, :frames]) * (1 + scale) + shift).transpose(1, 2)


def attend(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor | None) -> Tensor:
    """Scaled dot-product attention of (batch, heads, tokens, head width); `allowed` is true for keys to attend to.

    On a CPU by plain matrix products: at these lengths, forward and backward are three times as fast as torch's fused
    kernel.
    """
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if allowed is not None:
        scores = scores.masked_fill(~allowed, float("-inf"))
    return torch.softmax(scores, dim=-1).to(v.dtype) @ v


def sinusoidal_features(values: Tensor, width: int) -> Tensor:
    """(batch,) in [0, 1] to (batch, width) sines and cosines, periods from 1/1000 up (Vaswani et al. 2017)."""
    frequencies = torch.exp(-math.log(10_000.0) * torch.arange(width // 2, device=values.device) / (width // 2))
    angles = 1000.0 * values[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def rotation_angles(frames: int, tokens: int, head_width: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines (tokens, head_width / 2). Context tokens, those past `frames`, are all at position 0."""
    position = torch.arange(tokens, device=like.device, dtype=torch.float32)
    position = torch.where(position < frames, position, 0.0)
    frequencies = 10_000.0 ** (-torch.arange(0, head_width, 2, device=like.device) / head_width)
    angles = position[:, None] * frequencies
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate pairs of channels of (batch, heads, tokens, head width) by their token's angles."""
    cos, sin = rotation
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def _attention_mask(
    x: Tensor, frames: int, mask: Tensor | None, context: Tensor | None, context_mask: Tensor | None
) -> Tensor | None:
    if mask is None and context_mask is None:
        return None
    batch, tokens = x.shape[:2]
    allowed = torch.ones(batch, tokens, dtype=torch.bool, device=x.device)
    if mask is not None:
        allowed[:, :frames] = mask
    if context is not None and context_mask is not None:
        allowed[:, frames:] = context_mask
    return allowed[:, None, None, :]


def _embedding_mlp(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
