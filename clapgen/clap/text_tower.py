"""The transformer text tower: a small pre-norm transformer over tokens, the mean of its states."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clapgen.clap.config import TextTowerConfig
from clapgen.clap.towers import TEXT_TOWERS, TextTower


class TextBlock(nn.Module):
    """Pre-norm self-attention and MLP."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        batch, length, width = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (batch, heads, length, head width)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=attention_mask)
        x = x + F.dropout(self.out(mixed.transpose(1, 2).reshape(batch, length, width)), self.dropout, self.training)
        return x + F.dropout(self.mlp(self.mlp_norm(x)), self.dropout, self.training)


@TEXT_TOWERS.register("transformer")
class TransformerTower(TextTower):
    """Token and position embeddings, `layers` transformer blocks, the mean over tokens."""

    def __init__(self, config: TextTowerConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.position_embedding = nn.Parameter(torch.zeros(config.max_tokens, config.width))
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.position_embedding, std=0.01)
        self.blocks = nn.ModuleList(TextBlock(config.width, config.heads, config.dropout) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.width, self.max_tokens = config.width, config.max_tokens

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Tokens and mask (batch, tokens) to features (batch, width): the mean over tokens that are not padding."""
        x = self.token_embedding(tokens) + self.position_embedding[: tokens.shape[1]]
        attention_mask = mask.bool()[:, None, None, :]
        for block in self.blocks:
            x = block(x, attention_mask)
        weights = mask[..., None].to(x.dtype)
        return (self.norm(x) * weights).sum(1) / weights.sum(1)
