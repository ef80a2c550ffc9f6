"""Sound from text: the autoencoder, the diffusion model, the `TextToAudio` pipeline, and `render`, which saves."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from generation.autoencoder import Autoencoder
    from generation.generator import Generation, Generator
    from generation.pipeline import TextToAudio
    from generation.public import load_generator
    from generation.rendering import render
    from generation.requests import GenerationRequest

__all__ = ["Autoencoder", "Generation", "GenerationRequest", "Generator", "TextToAudio", "load_generator", "render"]

_MODULES = {
    "Autoencoder": "generation.autoencoder",
    "Generation": "generation.generator",
    "GenerationRequest": "generation.requests",
    "Generator": "generation.generator",
    "TextToAudio": "generation.pipeline",
    "load_generator": "generation.public",
    "render": "generation.rendering",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'generation' has no attribute '{name}'")
    return getattr(importlib.import_module(_MODULES[name]), name)
