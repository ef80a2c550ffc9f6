"""Bridges over the modality gap, by name. A new bridge needs a file, its import here and its section in `config.py`."""

from __future__ import annotations

from captioning.bridges import adapter, diffusion, hard_prompt, mean_shift, memory, noise, soft_prompt  # noqa: F401
from captioning.bridges.base import BRIDGES, Bridge, BridgeChain, BridgeData
from captioning.bridges.config import BridgesConfig
from clapgen.errors import ClapgenError

__all__ = ["BRIDGES", "Bridge", "BridgeChain", "BridgeData", "BridgesConfig", "create_bridge"]

RENAMED = {"nnd": "nearest"}


def create_bridge(name: str, config: BridgesConfig, dim: int) -> Bridge:
    """The bridge with this name for embeddings `dim` wide. ClapgenError, with the nearest name, if it is unknown."""
    if name in RENAMED:
        raise ClapgenError(f"the bridge '{name}' is now called '{RENAMED[name]}'.")
    create = BRIDGES.get(name)
    bridge = create(getattr(config, create.section, None), dim)
    bridge.name = name
    return bridge
