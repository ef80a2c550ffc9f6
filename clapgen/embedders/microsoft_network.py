"""The networks of Microsoft's CLAP, 2022 and 2023: a CNN14 with BERT, and an HTSAT with GPT-2, named as in its code."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass
class MicrosoftConfig:
    """Sizes of a network, and the version that it is of.

    `audio` and `text` are the sizes of towers that transformers has (HTSAT; BERT or GPT-2); `cnn_channels` those of the
    blocks of a CNN14.
    """

    version: str
    dim: int
    audio_width: int
    text: dict[str, Any]
    audio: dict[str, Any] = field(default_factory=dict)
    cnn_channels: list[int] = field(default_factory=list)


class MicrosoftNetwork(nn.Module):
    """Both towers, their projections and the temperature (Elizalde et al. 2022, 2023)."""

    def __init__(self, config: MicrosoftConfig) -> None:
        super().__init__()
        self.audio_encoder, self.caption_encoder = nn.Module(), nn.Module()
        self.audio_encoder.base = _audio_tower(config)
        self.audio_encoder.projection = Projection(config.audio_width, config.dim)
        self.caption_encoder.base, width = _text_tower(config)
        self.caption_encoder.projection = Projection(width, config.dim)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))


class Projection(nn.Module):
    """(batch, in_width) to (batch, dim): a linear layer, plus what two more make of it, normalised."""

    def __init__(self, in_width: int, dim: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(in_width, dim, bias=False)
        self.linear2 = nn.Linear(dim, dim, bias=False)
        self.layer_norm = nn.LayerNorm(dim)

    def forward(self, features: Tensor) -> Tensor:
        projected = self.linear1(features)
        return self.layer_norm(projected + self.linear2(F.gelu(projected)))


class Cnn14(nn.Module):
    """PANNs' CNN14 (Kong et al. 2020): log-mels (batch, 1, frames, mels) in dB to features (batch, width)."""

    def __init__(self, channels: list[int], width: int, mels: int = 64) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(mels)
        for number, (inner, outer) in enumerate(zip([1, *channels], channels, strict=False), 1):
            setattr(self, f"conv_block{number}", _ConvBlock(inner, outer))
        self.blocks = len(channels)
        self.fc1 = nn.Linear(channels[-1], width)

    def forward(self, log_mels: Tensor) -> Tensor:
        maps = self.bn0(log_mels.transpose(1, 3)).transpose(1, 3)  # each mel band is a channel of the norm
        for number in range(1, self.blocks + 1):
            maps = getattr(self, f"conv_block{number}")(maps)
            if number < self.blocks:
                maps = F.avg_pool2d(maps, 2)
        frames = maps.mean(3)  # (batch, channels, frames)
        return F.relu(self.fc1(frames.amax(2) + frames.mean(2)))


class _ConvBlock(nn.Module):
    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outer, outer, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outer), nn.BatchNorm2d(outer)

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(maps))))))


def _audio_tower(config: MicrosoftConfig) -> nn.Module:
    if config.cnn_channels:
        return Cnn14(config.cnn_channels, config.audio_width)
    from transformers import ClapAudioConfig, ClapAudioModel

    tower = nn.Module()
    tower.htsat = ClapAudioModel(ClapAudioConfig(**config.audio)).audio_encoder
    return tower


def _text_tower(config: MicrosoftConfig) -> tuple[nn.Module, int]:
    if config.version == "2022":
        from transformers import BertConfig, BertModel

        return BertModel(BertConfig(**config.text)), config.text["hidden_size"]
    from transformers import GPT2Config, GPT2Model

    return GPT2Model(GPT2Config(**config.text)), config.text["n_embd"]
