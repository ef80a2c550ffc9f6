"""The embeddings of a long sound's windows, one by one, where `embed_audio` gives only their mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from clapgen.audio.waveform import mono_samples_at
from clapgen.audio.windows import half_overlapping
from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    from torch import Tensor

    from clapgen.embedders.base import Embedder


class Segmented:
    """An embedder whose frames are the embeddings of half-overlapping windows; otherwise it is like `embedder`.

    Raises:
        ClapgenError: the embedder has no windows.
    """

    def __init__(self, embedder: Embedder) -> None:
        if not hasattr(embedder, "embed_windows"):
            raise ClapgenError(f"{embedder.name} does not embed windows, so it has no segments.")
        self.embedder = embedder
        self.name, self.hash, self.dim = embedder.name, embedder.hash, embedder.dim
        self.sample_rate = embedder.sample_rate
        self.window_policy = f"{embedder.window_policy}; frames are windows"
        self.config, self.device = getattr(embedder, "config", None), getattr(embedder, "device", "cpu")

    def embed_audio(self, waveforms: Sequence[Any], sample_rate: int) -> Tensor:
        """Embeddings (n, dim) of mono waveforms (samples,), as `embedder` gives them."""
        return self.embedder.embed_audio(waveforms, sample_rate)

    def embed_frames(self, waveform: Any, sample_rate: int) -> Tensor:
        """Embeddings (segments, dim) of the windows of one waveform, half a window apart."""
        import torch

        embedder: Any = self.embedder
        samples = mono_samples_at(waveform, sample_rate, self.sample_rate)
        windows = list(half_overlapping([samples], embedder.window))
        size = embedder.windows_per_batch
        return torch.cat([embedder.embed_windows(windows[i : i + size]) for i in range(0, len(windows), size)])
