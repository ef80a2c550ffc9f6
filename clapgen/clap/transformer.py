"""The transformer block of the towers, and pooling over time that depends on order."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Pre-norm self-attention and an MLP of `expansion` times the width."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0, expansion: int = 4) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width))

    def forward(self, x: Tensor, attention_mask: Tensor | None = None, kept: int | None = None) -> Tensor:
        """States (batch, length, width) to the new states of the first `kept` positions, or of all.

        The mask broadcasts to (batch, heads, length, length) and is true where attended.
        """
        batch, length, width = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (batch, heads, length, head width)
        x, q = x[:, :kept], q[:, :, :kept]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=attention_mask)
        x = x + F.dropout(self.out(mixed.transpose(1, 2).flatten(2)), self.dropout, self.training)
        return x + F.dropout(self.mlp(self.mlp_norm(x)), self.dropout, self.training)


class TemporalPooling(nn.Module):
    """A sequence of states to one vector that depends on their order.

    A mean or maximum over time loses what comes first, whatever the loss. Here a learned query attends, together with
    the states and their positions, through `layers` transformer blocks. The output starts at zero: added to a mean, it
    changes nothing until it is trained.
    """

    def __init__(self, in_width: int, layers: int, width: int = 256, heads: int = 4) -> None:
        super().__init__()
        self.project_in = nn.Linear(in_width, width)
        self.query = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads, expansion=2) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.project_out = nn.Linear(width, in_width)
        nn.init.zeros_(self.project_out.weight)
        nn.init.zeros_(self.project_out.bias)

    def forward(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """States (batch, length, in_width) and a mask (batch, length; 1 = counts) to (batch, in_width)."""
        x = self.project_in(states) + _positions(states.shape[1], self.query.shape[0], states)
        x = torch.cat([self.query.to(x).expand(len(x), 1, -1), x], 1)
        attended = None if mask is None else F.pad(mask.bool(), (1, 0), value=True)[:, None, None, :]
        for number, block in enumerate(self.blocks, 1):
            x = block(x, attended, kept=1 if number == len(self.blocks) else None)
        pooled: Tensor = self.project_out(self.norm(x[:, 0]))
        return pooled


def _positions(length: int, width: int, like: Tensor) -> Tensor:
    """Sines and cosines of the positions (length, width), with wavelengths from 4 to 400 positions."""
    rates = 2 * math.pi / torch.logspace(math.log10(4), math.log10(400), width // 2, device=like.device)
    angles = torch.arange(length, device=like.device)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1).to(like.dtype)
