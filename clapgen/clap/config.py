"""Configs of a CLAP: audio tower, text tower and the embedding space they share."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class AudioTowerConfig:
    """Log-mel front end (rates and frequencies in Hz) and the network on top of it.

    `tower` names the network in `clapgen.clap.towers.AUDIO_TOWERS`. `widths` and `depths` are the channels and the
    number of residual blocks of each stage. Every stage halves the frequency axis, and the time axis too until a frame
    spans `frame_stride` mel frames. `temporal_layers` is the depth of the pooling that depends on the order of frames;
    0 leaves only their mean and maximum.
    """

    tower: str = "residual"
    sample_rate: int = 32_000
    window_seconds: float = 5.0
    n_fft: int = 1280
    hop_length: int = 640
    n_mels: int = 64
    f_min: float = 50.0
    f_max: float = 14_000.0
    stem_width: int = 32
    widths: list[int] = field(default_factory=lambda: [64, 128, 256, 512])
    depths: list[int] = field(default_factory=lambda: [1, 2, 2, 1])
    frame_stride: int = 16
    temporal_layers: int = 0
    dropout: float = 0.2


@dataclass
class TextTowerConfig:
    """A transformer over byte-level BPE tokens; `tower` names it in `clapgen.clap.towers.TEXT_TOWERS`.

    `temporal_layers` is the depth of the pooling that depends on the order of tokens; 0 leaves only their mean.
    """

    tower: str = "transformer"
    vocab_size: int = 10_000
    width: int = 256
    layers: int = 4
    heads: int = 4
    max_tokens: int = 77
    temporal_layers: int = 0
    dropout: float = 0.0


@dataclass
class ClapConfig:
    """Two towers and the width `dim` of the embedding space. `frame_head` adds the head that finds sounds in time."""

    dim: int = 256
    frame_head: bool = False
    audio: AudioTowerConfig = field(default_factory=AudioTowerConfig)
    text: TextTowerConfig = field(default_factory=TextTowerConfig)
