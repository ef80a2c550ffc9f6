"""Embedders by name: what turns sounds into vectors that measures compare.

`load_embedder` knows clapgen's own models (a name or a folder) and, as ``kind:NAME_OR_FOLDER``, public checkpoints
through transformers: ``laion:`` (ClapModel), ``encodec:`` (EncodecModel) and ``ast:`` (audio spectrogram transformer).
Any other, such as msclap, whose package pins old versions of everything, comes in by `register_embedder`::

    register_embedder("msclap", lambda which, device: MyMsClap(which, device))
    load_embedder("msclap:2023")
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from clapgen.errors import ClapgenError, nearest

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Embedder(Protocol):
    """What `embed_files` asks of an embedder; `Clap` is one.

    `name` and `hash` say which weights these are (an empty hash: nothing of it is cached), `dim` how wide its vectors
    are, `sample_rate` in Hz what it hears, `window_policy` in words how a clip of any length becomes one vector: two
    embedders that differ in it must say different words. Deterministic: the same vector at every call.
    """

    @property
    def name(self) -> str: ...

    @property
    def hash(self) -> str: ...

    @property
    def dim(self) -> int: ...

    @property
    def sample_rate(self) -> int: ...

    @property
    def window_policy(self) -> str: ...

    def embed_audio(self, waveforms: Sequence[Any], sample_rate: int) -> Tensor:
        """Embeddings (n, dim) float32 of mono waveforms (samples,) at `sample_rate` Hz."""

    def embed_frames(self, waveform: Any, sample_rate: int) -> Tensor:
        """Embeddings (frames, dim) float32 of the pieces of one waveform."""


@runtime_checkable
class TextEmbedder(Protocol):
    """What an embedder has besides when it knows sentences, in the same space; `logit_scale` is 1 / temperature."""

    @property
    def dim(self) -> int: ...

    @property
    def logit_scale(self) -> Tensor: ...

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (n, dim) float32 of length 1."""


class ClapEmbedder(Embedder, TextEmbedder, Protocol):
    """Hears sounds and reads sentences, in one space: `Clap`, or ``laion:`` of `load_embedder`."""


Loader = Callable[[str, "torch.device"], Embedder]

BROKEN_MODEL = "It is broken; check it with `clapgen models verify`, or choose another --model."
_LOADERS: dict[str, Loader] = {}


def register_embedder(name: str, loader: Loader) -> None:
    """Let `load_embedder("name:which")` call ``loader("which", device)``; "" when nothing follows the name.

    Raises:
        ClapgenError: the name is empty, has a colon, or is taken.
    """
    if not name or ":" in name or name in known_embedders():
        raise ClapgenError(f"an embedder cannot be registered as '{name}': the name is taken, empty or has a colon.")
    _LOADERS[name] = loader


def known_embedders() -> list[str]:
    """Kinds of embedders beside clapgen's own models."""
    return sorted({"laion", "encodec", "ast"} | _LOADERS.keys())


def load_embedder(name: str = "default", device: str | torch.device = "cpu") -> Embedder:
    """Load an embedder: "default" or another clapgen model, or ``kind:NAME_OR_FOLDER``.

    A folder is read as it is; a name that is no folder is one of the Hugging Face hub, and only then is something
    downloaded, unless it is in the hub's own cache already. Only safetensors are read.

    Raises:
        ClapgenError: an unknown kind or model, or files that are missing or damaged.
    """
    import torch

    device = torch.device(device)
    kind, colon, which = name.partition(":")
    if kind in _LOADERS:
        return _LOADERS[kind](which, device)
    if colon and kind in known_embedders():
        from clapgen.embedders.public import load_public

        if not which:
            raise ClapgenError(f"'{name}' lacks what to load; give {kind}:FOLDER or {kind}:NAME.")
        return load_public(kind, which, device)
    if colon and len(kind) > 1 and not name.startswith(("/", ".", "~")):  # C:\model is a path
        raise ClapgenError(
            f"no kind of embedder is called '{kind}'.{nearest(kind, known_embedders())} "
            f"Known: {', '.join(known_embedders())}."
        )
    from clapgen.clap import Clap

    return Clap.from_pretrained(name, device)


def identity_of(embedder: Any) -> list[Any]:
    """Everything of an embedder that decides its embeddings."""
    config = getattr(embedder, "config", None)  # such as the hop of a spectrogram, which is not in the weights
    return [
        embedder.hash,
        embedder.window_policy,
        embedder.sample_rate,
        embedder.dim,
        repr(config) if dataclasses.is_dataclass(config) else "",
        device_type(embedder),
    ]


def device_type(embedder: Any) -> str:
    """On what kind of device it computes: kinds round differently."""
    return str(getattr(embedder, "device", "cpu")).partition(":")[0]


def display_name(embedder: Any) -> str:
    """How errors name it."""
    return f"{embedder.name} ({embedder.hash or 'not saved'})"
