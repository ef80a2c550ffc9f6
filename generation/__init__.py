"""Sound from text: the autoencoder, the diffusion model, and the `TextToAudio` pipeline over them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from generation.autoencoder import Autoencoder
    from generation.pipeline import Generation, TextToAudio

__all__ = ["Autoencoder", "Generation", "TextToAudio"]

_MODULES = {
    "Autoencoder": "generation.autoencoder",
    "Generation": "generation.pipeline",
    "TextToAudio": "generation.pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'generation' has no attribute '{name}'")
    return getattr(importlib.import_module(_MODULES[name]), name)
