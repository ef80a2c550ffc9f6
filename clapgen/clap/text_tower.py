"""The transformer text tower: a small pre-norm transformer over tokens, and the pooling of its states."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clapgen.clap.config import TextTowerConfig
from clapgen.clap.towers import TEXT_TOWERS, TextTower
from clapgen.clap.transformer import Block, TemporalPooling


@TEXT_TOWERS.register("transformer")
class TransformerTower(TextTower):
    """Token and position embeddings, `layers` transformer blocks, and the mean over tokens, to which temporal pooling
    adds what depends on their order."""

    def __init__(self, config: TextTowerConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.position_embedding = nn.Parameter(torch.zeros(config.max_tokens, config.width))
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.position_embedding, std=0.01)
        self.blocks = nn.ModuleList(Block(config.width, config.heads, config.dropout) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.temporal = TemporalPooling(config.width, config.temporal_layers) if config.temporal_layers else None
        self.width, self.max_tokens = config.width, config.max_tokens

    def states(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Tokens and mask (batch, tokens) to token states (batch, tokens, width)."""
        x = self.token_embedding(tokens) + self.position_embedding[: tokens.shape[1]]
        attention_mask = mask.bool()[:, None, None, :]
        for block in self.blocks:
            x = block(x, attention_mask)
        normalised: Tensor = self.norm(x)
        return normalised

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """Token states and mask to features (batch, width)."""
        weights = mask[..., None].to(states.dtype)
        mean = (states * weights).sum(1) / weights.sum(1)
        return mean if self.temporal is None else mean + self.temporal(states, mask)
