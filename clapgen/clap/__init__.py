"""CLAP: one embedding space for sounds and sentences."""

from clapgen.clap.config import AudioTowerConfig, ClapConfig, TextTowerConfig
from clapgen.clap.model import Clap

__all__ = ["AudioTowerConfig", "Clap", "ClapConfig", "TextTowerConfig"]
