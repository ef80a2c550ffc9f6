"""Embedders by name, and the cache of what they computed."""

from clapgen.embedders.base import (
    BROKEN_MODEL,
    ClapEmbedder,
    Embedder,
    Loader,
    TextEmbedder,
    device_type,
    display_name,
    identity_of,
    known_embedders,
    load_embedder,
    register_embedder,
)

__all__ = [
    "BROKEN_MODEL",
    "ClapEmbedder",
    "Embedder",
    "Loader",
    "TextEmbedder",
    "device_type",
    "display_name",
    "identity_of",
    "known_embedders",
    "load_embedder",
    "register_embedder",
]
