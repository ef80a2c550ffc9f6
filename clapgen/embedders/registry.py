"""Embedders by name: clapgen's own models, and as ``kind:NAME_OR_FOLDER`` public checkpoints.

The kinds are ``laion:`` (ClapModel), ``encodec:`` (EncodecModel) and ``ast:`` (audio spectrogram transformer), each in
a file of its own; ``tagger:FOLDER`` is what `clapgen train tagger` makes. Any other, such as msclap, whose package pins
old versions of its dependencies, can be registered::

    register_embedder("msclap", lambda checkpoint, device: MyMsClap(checkpoint, device))
    load_embedder("msclap:2023")
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from clapgen.devices import choose_device
from clapgen.embedders.base import ClapEmbedder, Embedder
from clapgen.errors import ClapgenError
from clapgen.registry import Registry

if TYPE_CHECKING:
    import torch

Loader = Callable[[str, "torch.device"], Embedder]

EMBEDDERS: Registry[Loader] = Registry("kind of embedder")


def register_embedder(kind: str, loader: Loader) -> None:
    """Let `load_embedder("kind:checkpoint")` call ``loader("checkpoint", device)``, with "" if none is given.

    Raises:
        ClapgenError: the kind is empty, contains a colon, or is taken.
    """
    if not kind or ":" in kind or kind in _backends():
        raise ClapgenError(f"an embedder cannot be registered as '{kind}': the name is taken, empty or has a colon.")
    EMBEDDERS.register(kind)(loader)


def load_embedder(name: str = "default", device: str | torch.device = "cpu") -> Embedder:
    """Load an embedder: "default" or another clapgen model (a name or a folder), or ``kind:NAME_OR_FOLDER``.

    A public checkpoint is read from its folder, or looked up by name on the Hugging Face hub, which downloads it
    unless it is in the hub's cache. Only safetensors are read.

    Raises:
        ClapgenError: an unknown kind or model, or files that are missing or damaged.
    """
    device = choose_device(device)
    kind, checkpoint = split_name(name)
    if kind:
        return _backends().get(kind)(checkpoint, device)
    from clapgen.clap import Clap

    return Clap.from_pretrained(name, device)


def load_clap(name: str | Path = "default", device: str | torch.device = "cpu") -> ClapEmbedder:
    """Load a CLAP, which embeds text as well as audio; arguments and errors as in `load_embedder`.

    Raises:
        ClapgenError: also when the embedder embeds audio only.
    """
    embedder = load_embedder(str(name), device)
    if not isinstance(embedder, ClapEmbedder):
        raise ClapgenError(
            f"{name} embeds audio only; choose a CLAP, which embeds text too: a clapgen model or laion:NAME_OR_FOLDER."
        )
    return embedder


def needs_hub(name: str) -> bool:
    """Whether loading this embedder reads from the Hugging Face hub (or from its cache) rather than from a folder."""
    kind, checkpoint = split_name(name)
    check = getattr(_backends().get(kind), "needs_hub", None) if kind else None
    return check is not None and check(checkpoint)


def split_name(name: str) -> tuple[str, str]:
    """Split ``kind:checkpoint``; a clapgen model has the kind "". The kind is not checked."""
    kind, colon, checkpoint = name.partition(":")
    is_path = len(kind) == 1 or name.startswith(("/", ".", "~")) or Path(name).is_dir()  # C:\model is a path
    if colon and not is_path:
        return kind, checkpoint
    return (name, "") if name in EMBEDDERS and not is_path else ("", name)


def _backends() -> Registry[Loader]:
    """The registry, with clapgen's own backends, which are imported on first use because they need torch."""
    from clapgen import tagger  # noqa: F401
    from clapgen.embedders import ast, encodec, laion  # noqa: F401

    return EMBEDDERS
