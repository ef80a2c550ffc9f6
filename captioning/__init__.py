"""Audio captioning: decoders trained on text alone, and the bridges that let them read audio embeddings."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from captioning.captioner import Caption, Captioner
    from captioning.decoding import Decoding

__all__ = ["Caption", "Captioner", "Decoding"]

_MODULES = {
    "Caption": "captioning.captioner",
    "Captioner": "captioning.captioner",
    "Decoding": "captioning.decoding",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'captioning' has no attribute '{name}'")
    return getattr(importlib.import_module(_MODULES[name]), name)
