"""The CLAP that a captioner reads: a clapgen model's own, or a public checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch

from clapgen.clap import Clap
from clapgen.embedders import Embedder, TextEmbedder, load_embedder
from clapgen.errors import ClapgenError
from clapgen.model_store import resolve_model, weights_hash


class Space(Embedder, TextEmbedder, Protocol):
    """What embeds both sounds and sentences, in one space: `Clap`, or LAION's by `load_embedder`."""

    @property
    def device(self) -> torch.device: ...


def is_public(clap: str | Path) -> bool:
    """Whether a name means a public checkpoint (`laion:NAME_OR_FOLDER`) rather than a clapgen model."""
    kind, colon, _ = str(clap).partition(":")
    return bool(colon) and len(kind) > 1 and not Path(clap).exists()


def load_space(clap: str | Path, device: str | torch.device = "cpu") -> Space:
    """A CLAP by name or folder. ClapgenError if there is none, or if it cannot read sentences."""
    found = load_embedder(str(clap if is_public(clap) else resolve_model(clap)), device)
    if not isinstance(found, TextEmbedder):
        raise ClapgenError(f"clap={clap} embeds sounds alone; a captioner needs a CLAP, which reads sentences too")
    if isinstance(found, Clap):
        found.name = str(clap)  # it was loaded by the folder that its name means
    return found  # type: ignore[return-value]


def hash_of(clap: str | Path) -> str:
    """The hash of a clapgen model's CLAP without loading it; of a public checkpoint empty: that is read when loaded."""
    return "" if is_public(clap) else weights_hash(resolve_model(clap), "clap")
