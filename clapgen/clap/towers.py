"""What a `Clap` needs of its two towers, and the registries in which a config finds them by name.

A tower is a class in a module of its own, registered under the name that `tower:` has in its config and built from that
config. The modules of the towers are imported by `clapgen.clap.model`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from clapgen.audio.mel import LogMel
from clapgen.clap.config import AudioTowerConfig, TextTowerConfig
from clapgen.registry import Registry


class AudioTower(nn.Module, ABC):
    """Waveforms to features of `width` channels: `front_end`, then `frames`, then `pool`.

    `frame_rate` is the number of frames a second.
    """

    width: int
    frame_rate: float

    @property
    @abstractmethod
    def front_end(self) -> LogMel:
        """Waveforms (batch, samples) to log-mel (batch, n_mels, mel frames) in dB, the input of `frames`.

        Training keeps the log-mels of all clips on disk and augments them."""

    @abstractmethod
    def frames(self, inputs: Tensor) -> Tensor:
        """Output of `front_end` to frame features (batch, frames, width)."""

    @abstractmethod
    def pool(self, frames: Tensor) -> Tensor:
        """Frame features (batch, frames, width) to features (batch, width)."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Output of `front_end` to features (batch, width)."""
        return self.pool(self.frames(inputs))


class TextTower(nn.Module, ABC):
    """Up to `max_tokens` tokens to features of `width` channels: `states`, then `pool`."""

    width: int
    max_tokens: int

    @abstractmethod
    def states(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Token ids and mask (1 = token), both (batch, tokens), to token states (batch, tokens, channels)."""

    @abstractmethod
    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """Token states and mask to features (batch, width)."""

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Token ids and mask (1 = token), both (batch, tokens), to features (batch, width)."""
        return self.pool(self.states(tokens, mask), mask)


AUDIO_TOWERS: Registry[type[AudioTower]] = Registry("audio tower")
TEXT_TOWERS: Registry[type[TextTower]] = Registry("text tower")


def create_audio_tower(config: AudioTowerConfig) -> AudioTower:
    """The audio tower that `config.tower` names, with new weights. `ClapgenError` if the name is unknown."""
    tower: AudioTower = AUDIO_TOWERS.create(config.tower, config)
    return tower


def create_text_tower(config: TextTowerConfig) -> TextTower:
    """The text tower that `config.tower` names, with new weights. `ClapgenError` if the name is unknown."""
    tower: TextTower = TEXT_TOWERS.create(config.tower, config)
    return tower
