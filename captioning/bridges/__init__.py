"""Bridges over the modality gap, by name."""

from __future__ import annotations

from collections.abc import Callable

from captioning.bridges.adapter import AdapterBridge
from captioning.bridges.base import Bridge, BridgeChain, Corpus
from captioning.bridges.config import BridgesConfig
from captioning.bridges.diffusion import DiffusionBridge
from captioning.bridges.hard_prompt import HardPromptBridge
from captioning.bridges.mean_shift import MeanShiftBridge
from captioning.bridges.memory import MemoryBridge, NearestBridge
from captioning.bridges.noise import CalibratedNoiseBridge, NoiseBridge
from captioning.bridges.soft_prompt import SoftPromptBridge
from clapgen.errors import ClapgenError, nearest

__all__ = ["BRIDGES", "Bridge", "BridgeChain", "BridgesConfig", "Corpus", "build_bridge"]

# Name -> how it is made of the settings of all and the width of the embedding space.
BRIDGES: dict[str, Callable[[BridgesConfig, int], Bridge]] = {
    "none": lambda config, dim: Bridge(),
    "noise": lambda config, dim: NoiseBridge(config.noise, dim),
    "noise-calibrated": lambda config, dim: CalibratedNoiseBridge(config.noise_calibrated, dim),
    "adapter": lambda config, dim: AdapterBridge(config.adapter, dim),
    "mean-shift": lambda config, dim: MeanShiftBridge(config.mean_shift, dim),
    "memory": lambda config, dim: MemoryBridge(config.memory, dim),
    "nnd": lambda config, dim: NearestBridge(config.memory, dim),
    "soft-prompt": lambda config, dim: SoftPromptBridge(config.soft_prompt, dim),
    "hard-prompt": lambda config, dim: HardPromptBridge(config.hard_prompt, dim),
    "diffusion": lambda config, dim: DiffusionBridge(config.diffusion, dim),
}


def build_bridge(name: str, config: BridgesConfig, dim: int) -> Bridge:
    """The bridge of that name for embeddings of width `dim`. ClapgenError, with the nearest name, if there is none."""
    if name not in BRIDGES:
        raise ClapgenError(f"there is no bridge '{name}': choose of {', '.join(BRIDGES)}.{nearest(name, BRIDGES)}")
    return BRIDGES[name](config, dim)
