"""The interface of embedders: models that turn audio, and for a CLAP also text, into vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

BROKEN_MODEL = "The model is broken; check it with `clapgen models verify`, or choose another --model."


class Embedder(Protocol):
    """Turns audio into vectors, deterministically.

    `name` and `hash` identify the weights (embeddings are not cached if the hash is empty), `dim` is the width of the
    vectors and `sample_rate` the model's own rate in Hz. `window_policy` describes in words how a clip of any length
    becomes one vector; it is part of the cache key, so embedders that do this differently need different words.
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

    # Embedders with `window` (samples), `windows_per_batch`, `normalised` (whether embeddings have length 1) and
    # `embed_windows` also embed sounds of any length while they are read; see `embed_stream`.

    def embed_audio(self, waveforms: Sequence[Any], sample_rate: int) -> Tensor:
        """Embeddings (n, dim) float32 of mono waveforms (samples,) at `sample_rate` Hz."""

    def embed_frames(self, waveform: Any, sample_rate: int) -> Tensor:
        """Embeddings (frames, dim) float32 of consecutive parts of one waveform."""


@runtime_checkable
class ClapEmbedder(Embedder, Protocol):
    """Also embeds text, in the same space: `Clap`, or a public CLAP. `logit_scale` is 1 / temperature."""

    @property
    def logit_scale(self) -> Tensor: ...

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (n, dim) float32 of length 1."""


def identity_of(embedder: Any) -> list[Any]:
    """Cache key of an embedder: everything that its embeddings depend on."""
    config = getattr(embedder, "config", None)  # such as the hop of a spectrogram, which is not in the weights
    dtype = getattr(embedder, "dtype_name", "float32")
    return [
        embedder.hash,
        embedder.window_policy,
        embedder.sample_rate,
        embedder.dim,
        repr(config) if dataclasses.is_dataclass(config) else "",
        device_type(embedder),
        *([dtype] if dtype != "float32" else []),
    ]


def device_type(embedder: Any) -> str:
    """Type of the device that an embedder runs on; rounding differs between types."""
    return str(getattr(embedder, "device", "cpu")).partition(":")[0]


def display_name(embedder: Any) -> str:
    """Display name for error messages."""
    return f"{embedder.name} ({embedder.hash or 'not saved'})"
