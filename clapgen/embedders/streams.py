"""Embeddings of sounds of any length in bounded memory: windows are embedded while the sound is read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from clapgen.audio.waveform import mono_samples
from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    from torch import Tensor

    from clapgen.embedders.base import Embedder

Key = TypeVar("Key")


def embed_stream(embedder: Embedder, pieces: Iterable[np.ndarray]) -> Tensor:
    """Embedding (dim,) float32 of one sound that is given in pieces (samples,) at the embedder's sample rate.

    Bit for bit the row that `embed_audio` gives for a list of just this sound.

    Raises:
        ClapgenError: what reading the pieces raises; or the sound is empty or not finite.
    """
    [(_, embedding)] = embed_streams(embedder, [(None, pieces)])
    if isinstance(embedding, ClapgenError):
        raise embedding
    return embedding


def embed_streams(
    embedder: Embedder, sounds: Iterable[tuple[Key, Iterable[np.ndarray]]], batch_size: int | None = None
) -> Iterator[tuple[Key, Tensor | ClapgenError]]:
    """Embed sounds that are given in pieces, as in `embed_stream`; windows of consecutive sounds share batches.

    Args:
        sounds: a key of any kind, and the pieces, for each sound.
        batch_size: windows to embed at a time; the embedder's own number if None.

    Yields:
        Each key, in order, with the embedding (dim,), or with the error that ended reading the sound.
    """
    import torch

    for key, windows in embed_window_streams(embedder, sounds, batch_size):
        if isinstance(windows, ClapgenError):
            yield key, windows
            continue
        mean = windows.mean(0)
        normalised = getattr(embedder, "normalised", False)
        yield key, torch.nn.functional.normalize(mean, dim=-1) if normalised else mean


def embed_window_streams(
    embedder: Embedder, sounds: Iterable[tuple[Key, Iterable[np.ndarray]]], batch_size: int | None = None
) -> Iterator[tuple[Key, Tensor | ClapgenError]]:
    """As `embed_streams`, but yields the embeddings of all half-overlapping windows of each sound: (windows, dim).

    An embedder without windows gives one row for the whole sound.
    """
    if not hasattr(embedder, "embed_windows"):  # registered by a user
        yield from _one_by_one(embedder, sounds)
        return
    size = batch_size or embedder.windows_per_batch  # type: ignore[attr-defined]
    waiting: deque[_Sound[Key]] = deque()
    batch: list[tuple[_Sound[Key], np.ndarray]] = []
    for key, pieces in sounds:
        sound = _Sound(key)
        waiting.append(sound)
        for window in _windows(sound, pieces, embedder.window):  # type: ignore[attr-defined]
            batch.append((sound, window))
            sound.missing += 1
            if len(batch) == size:
                _embed(embedder, batch)
                batch = []
                yield from _finished(waiting)
        sound.read = True
        yield from _finished(waiting)
    if batch:
        _embed(embedder, batch)
    yield from _finished(waiting)


@dataclass
class _Sound(Generic[Key]):
    key: Key
    embeddings: list[Tensor] = field(default_factory=list)  # of its windows so far
    missing: int = 0  # windows that wait for their batch
    read: bool = False
    error: ClapgenError | None = None


def _windows(sound: _Sound[Any], pieces: Iterable[np.ndarray], window: int) -> Iterator[np.ndarray]:
    from clapgen.audio.windows import half_overlapping

    try:
        empty = True
        for samples in half_overlapping(map(mono_samples, pieces), window):
            empty = False
            yield samples
        if empty:
            raise ClapgenError("a sound has no samples.")
    except ClapgenError as error:
        sound.error = error


def _embed(embedder: Any, batch: list[tuple[_Sound[Any], np.ndarray]]) -> None:
    for (sound, _), row in zip(batch, embedder.embed_windows([window for _, window in batch]), strict=True):
        sound.embeddings.append(row)
        sound.missing -= 1


def _finished(waiting: deque[_Sound[Key]]) -> Iterator[tuple[Key, Tensor | ClapgenError]]:
    import torch

    while waiting and waiting[0].read and (waiting[0].error or not waiting[0].missing):
        sound = waiting.popleft()
        yield sound.key, sound.error or torch.stack(sound.embeddings)


def _one_by_one(
    embedder: Embedder, sounds: Iterable[tuple[Key, Iterable[np.ndarray]]]
) -> Iterator[tuple[Key, Tensor | ClapgenError]]:
    for key, pieces in sounds:
        try:
            whole = np.concatenate([np.zeros(0, dtype=np.float32), *pieces])
        except ClapgenError as error:
            yield key, error
            continue
        yield key, embedder.embed_audio([whole], embedder.sample_rate)
