"""Bridges over the modality gap, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from captioning.bridges.base import Bridge, BridgeChain, Corpus
from captioning.bridges.config import BridgesConfig
from captioning.bridges.noise import NoiseBridge
from clapgen.errors import ClapgenError, nearest

__all__ = ["BRIDGES", "Bridge", "BridgeChain", "BridgesConfig", "Corpus", "build_bridge", "build_chain"]

# Name -> how it is made of the settings of all and the width of the embedding space.
BRIDGES: dict[str, Callable[[BridgesConfig, int], Bridge]] = {
    "none": lambda config, dim: Bridge(),
    "noise": lambda config, dim: NoiseBridge(config.noise, dim),
}


def build_bridge(name: str, config: BridgesConfig, dim: int) -> Bridge:
    """The bridge of that name for embeddings of width `dim`. ClapgenError, with the nearest name, if there is none."""
    if name not in BRIDGES:
        raise ClapgenError(f"there is no bridge '{name}': choose of {', '.join(BRIDGES)}.{nearest(name, BRIDGES)}")
    return BRIDGES[name](config, dim)


def build_chain(names: Sequence[str], config: BridgesConfig, dim: int) -> BridgeChain:
    """The bridges of those names, in order. ClapgenError as `build_bridge`."""
    return BridgeChain([build_bridge(name, config, dim) for name in names])
