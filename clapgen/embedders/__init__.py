"""Embedders by name, and the cache of their embeddings."""

from clapgen.embedders.base import (
    BROKEN_MODEL,
    ClapEmbedder,
    Embedder,
    device_type,
    display_name,
    identity_of,
)
from clapgen.embedders.registry import (
    EMBEDDERS,
    Loader,
    load_clap,
    load_embedder,
    needs_hub,
    register_embedder,
    split_name,
)
from clapgen.embedders.streams import embed_stream, embed_streams, embed_window_streams

__all__ = [
    "BROKEN_MODEL",
    "EMBEDDERS",
    "ClapEmbedder",
    "Embedder",
    "Loader",
    "device_type",
    "display_name",
    "embed_stream",
    "embed_streams",
    "embed_window_streams",
    "identity_of",
    "load_clap",
    "load_embedder",
    "needs_hub",
    "register_embedder",
    "split_name",
]
