"""clapgen: one CLAP embedding space, and what can be made from it: sound from text, captions, search, scores.

>>> from clapgen import Clap, TextToAudio, Captioner, read_audio, write_audio
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from captioning import Captioner
    from clapgen.audio import read_audio, write_audio
    from clapgen.clap import Clap
    from clapgen.embedders import load_clap, load_embedder
    from generation import TextToAudio

__all__ = ["Captioner", "Clap", "TextToAudio", "load_clap", "load_embedder", "read_audio", "write_audio"]

# Loaded on first use, so that `import clapgen` costs nothing and loads no torch.
_MODULES = {
    "Captioner": "captioning",
    "Clap": "clapgen.clap",
    "TextToAudio": "generation",
    "load_clap": "clapgen.embedders",
    "load_embedder": "clapgen.embedders",
    "read_audio": "clapgen.audio",
    "write_audio": "clapgen.audio",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'clapgen' has no attribute '{name}'")
    from clapgen.errors import refuse_shadowing

    refuse_shadowing(_MODULES[name])
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
