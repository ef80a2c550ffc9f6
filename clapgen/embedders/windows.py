"""Which part of a long clip an embedding is of: all its windows by default, or one, as other projects take it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clapgen.audio.waveform import list_of_waveforms, mono_samples_at
from clapgen.audio.windows import half_overlapping
from clapgen.errors import ClapgenError, nearest

if TYPE_CHECKING:
    from torch import Tensor

    from clapgen.embedders.base import Embedder

Cut = Callable[[Iterable[np.ndarray], int], Iterator[np.ndarray]]

MEAN, FUSION = "mean", "fusion"


def first(pieces: Iterable[np.ndarray], window: int) -> Iterator[np.ndarray]:
    """The first `window` samples of a sound that is given in pieces; the rest is not read."""
    held = np.zeros(0, dtype=np.float32)
    for piece in pieces:
        held = np.concatenate([held, piece])
        if len(held) >= window:
            break
    if held.size:
        yield held[:window]


def centre(pieces: Iterable[np.ndarray], window: int) -> Iterator[np.ndarray]:
    """The middle `window` samples of a sound that is given in pieces, which is held whole."""
    for samples in whole(pieces, window):
        start = max(0, len(samples) - window) // 2
        yield samples[start : start + window]


def whole(pieces: Iterable[np.ndarray], window: int) -> Iterator[np.ndarray]:
    """The whole sound, which is held in memory."""
    samples = np.concatenate([np.zeros(0, dtype=np.float32), *pieces])
    if samples.size:
        yield samples


CUTS: dict[str, Cut] = {MEAN: half_overlapping, "first": first, "centre": centre, FUSION: whole}
_WORDS = {
    "first": "the first {seconds:.4g} s of a clip",
    "centre": "the middle {seconds:.4g} s of a clip",
    FUSION: "clips longer than {seconds:.4g} s shrunk and fused with crops of their front, middle and back",
}


def with_windows(embedder: Embedder, choice: str) -> Embedder:
    """An embedder that takes one window of a long clip: "first", "centre", or "fusion" of LAION's fused checkpoints.

    "mean" is the embedder as it is. Shorter clips are embedded as ever. The choice is part of `window_policy` and so
    of the cache key.

    Raises:
        ClapgenError: an unknown choice, or one that the embedder does not have.
    """
    if choice not in CUTS:
        raise ClapgenError(f"window must be {', '.join(CUTS)}, not '{choice}'.{nearest(choice, CUTS)}")
    if choice == MEAN:
        return embedder
    if not hasattr(embedder, "embed_windows"):
        raise ClapgenError(f"{embedder.name} does not embed windows; leave out window={choice}.")
    if choice == FUSION and not getattr(embedder, "fuses", False):
        raise ClapgenError(f"{embedder.name} was trained without fusion; choose the window mean, first or centre.")
    return WindowedClap(embedder, choice) if hasattr(embedder, "embed_text") else Windowed(embedder, choice)


class Windowed:
    """An embedder whose embedding of a long clip is that of one window; otherwise it is like `embedder`."""

    windows_per_batch: int

    def __init__(self, embedder: Any, choice: str) -> None:
        self.embedder, self.choice, self.cut = embedder, choice, CUTS[choice]
        self.name, self.hash, self.dim = f"{embedder.name},window={choice}", embedder.hash, embedder.dim
        self.sample_rate, self.window, self.normalised = embedder.sample_rate, embedder.window, embedder.normalised
        self.windows_per_batch = 1 if choice == FUSION else embedder.windows_per_batch
        words = _WORDS[choice].format(seconds=self.window / self.sample_rate)
        self.window_policy = f"{words}; otherwise {embedder.window_policy}"

    def __getattr__(self, name: str) -> Any:
        """Everything else, such as `device`, `config` and `tokenizer`."""
        return getattr(self.__dict__["embedder"], name)

    def embed_audio(self, waveforms: Sequence[Any], sample_rate: int) -> Tensor:
        """Embeddings (n, dim) of mono waveforms (samples,) at `sample_rate` Hz."""
        import torch

        clips = [mono_samples_at(clip, sample_rate, self.sample_rate) for clip in list_of_waveforms(waveforms)]
        windows = [next(self.cut([clip], self.window)) for clip in clips]
        size = self.windows_per_batch
        rows = [self.embed_windows(windows[start : start + size]) for start in range(0, len(windows), size)]
        table = torch.cat([torch.zeros(0, self.dim), *rows])
        return torch.nn.functional.normalize(table, dim=-1) if self.normalised else table

    def embed_windows(self, windows: Sequence[np.ndarray]) -> Tensor:
        """Embeddings (n, dim) of what `cut` gives."""
        import torch

        if self.choice == FUSION:
            return torch.stack([self.embedder.embed_whole(window) for window in windows])
        return self.embedder.embed_windows(windows)

    def embed_frames(self, waveform: Any, sample_rate: int) -> Tensor:
        """Embeddings (frames, dim) of all of one waveform, as `embedder` gives them."""
        return self.embedder.embed_frames(waveform, sample_rate)


class WindowedClap(Windowed):
    """A CLAP with a choice of window; texts are embedded as ever."""

    @property
    def logit_scale(self) -> Tensor:
        """The learned inverse temperature."""
        return self.embedder.logit_scale

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (n, dim) of sentences."""
        return self.embedder.embed_text(texts)
