"""Mapping networks: from one CLAP embedding to a prefix of a few tokens for the language model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from captioning.decoder.config import DecoderConfig
from clapgen.registry import Registry

MAPPERS: Registry[type[nn.Module]] = Registry("decoder.mapper")


@MAPPERS.register("linear")
class LinearMapper(nn.Module):
    """One linear layer (WSAC, Kouzelis & Katsouros 2023, with a prefix of one token)."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.shape = (config.prefix_length, config.width)
        self.linear = nn.Linear(config.dim, config.prefix_length * config.width)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Embeddings (batch, dim) to a prefix (batch, prefix_length, width)."""
        return self.linear(embeddings).view(-1, *self.shape)


@MAPPERS.register("mlp")
class MlpMapper(nn.Module):
    """Two linear layers and tanh (ClipCap, Mokady et al. 2021; C3, Zhang et al. 2024)."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.shape = (config.prefix_length, config.width)
        self.layers = nn.Sequential(
            nn.Linear(config.dim, config.mapper_width),
            nn.Tanh(),
            nn.Linear(config.mapper_width, config.prefix_length * config.width),
        )

    def forward(self, embeddings: Tensor) -> Tensor:
        """Embeddings (batch, dim) to a prefix (batch, prefix_length, width)."""
        return self.layers(embeddings).view(-1, *self.shape)


@MAPPERS.register("transformer")
class TransformerMapper(nn.Module):
    """A transformer over the projected embedding and learned constants; its outputs at the constants are the prefix
    (ClipCap; clapcap)."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.shape = (config.prefix_length, config.width)
        self.linear = nn.Linear(config.dim, config.prefix_length * config.width)
        self.constants = nn.Parameter(0.02 * torch.randn(config.prefix_length, config.width))
        layer = nn.TransformerEncoderLayer(
            config.width, config.heads, 2 * config.width, config.dropout, "relu", batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, config.mapper_layers, enable_nested_tensor=False)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Embeddings (batch, dim) to a prefix (batch, prefix_length, width)."""
        projected = self.linear(embeddings).view(-1, *self.shape)
        tokens = torch.cat([projected, self.constants.expand_as(projected)], 1)
        return self.transformer(tokens)[:, self.shape[0] :]
