"""The CLAP that a captioner reads: a clapgen model's own, or a public checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch

from clapgen.clap import Clap
from clapgen.embedders import ClapEmbedder, TextEmbedder, load_embedder
from clapgen.errors import ClapgenError
from clapgen.model_store import resolve_model


def is_public(clap: str | Path) -> bool:
    """Whether a name means a public checkpoint (`laion:NAME_OR_FOLDER`) rather than a clapgen model."""
    kind, colon, _ = str(clap).partition(":")
    return bool(colon) and len(kind) > 1 and not Path(clap).exists()


def load_space(clap: str | Path, device: str | torch.device = "cpu") -> ClapEmbedder:
    """A CLAP by name or folder. ClapgenError if there is none, or if it cannot read sentences."""
    found = load_embedder(str(clap if is_public(clap) else resolve_model(clap)), device)
    if not isinstance(found, TextEmbedder):
        raise ClapgenError(f"clap={clap} embeds sounds alone; a captioner needs a CLAP, which reads sentences too")
    if isinstance(found, Clap):
        found.name = str(clap)  # it was loaded by the folder that its name means
    return found
