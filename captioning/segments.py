"""Captions of many audio files of any length: read ahead in a thread, cut into windows, captioned in batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from captioning.captioner import Caption, Captioner
from captioning.decoding import Decoding
from clapgen.audio.reading import LONGEST_STREAM_SECONDS, stream_audio
from clapgen.audio.silence import SilenceMeter
from clapgen.audio.windows import adjacent
from clapgen.embedders import embed_streams
from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    from torch import Tensor

WINDOW_SECONDS = 10.0

Item = TypeVar("Item")


@dataclass(frozen=True)
class Segment:
    """The caption of a file from `start` to `end`, in seconds."""

    start: float
    end: float
    caption: Caption


@dataclass(frozen=True)
class CaptionedFile:
    """A file and the captions of its windows, in order; none if it cannot be read, for the reason in `error`."""

    path: Path
    segments: list[Segment]
    error: ClapgenError | None = None


@dataclass(frozen=True)
class _Part:
    """One window of a file, or all of it; `meter` has its length and knows if it is silent once it has been read."""

    path: Path
    start: float
    is_last: bool
    meter: SilenceMeter


def caption_files(
    captioner: Captioner,
    paths: Iterable[Path],
    window_seconds: float = WINDOW_SECONDS,
    decoding: Decoding | None = None,
    candidates: int = 1,
    batch_size: int = 32,
    report: Callable[[Path, float], None] | None = None,
    max_seconds: float = LONGEST_STREAM_SECONDS,
) -> Iterator[CaptionedFile]:
    """Caption files in order; each is yielded as soon as all of its windows are captioned.

    A file longer than `window_seconds` (0: no limit) gets one caption per window. Windows are consecutive, the last one
    flush with the end. Every file is read once, in bounded memory. After each batch `report` is called with the current
    file and position in seconds. `decoding`, `candidates` and errors are as in `Captioner.caption`, except that a file
    that cannot be read, or is longer than `max_seconds`, raises nothing and is yielded with its error.
    """
    rate = captioner.clap.sample_rate
    sounds = max(1, batch_size // 2)  # a batch of sounds takes more memory than one of captions
    parts = _read_ahead(_parts(paths, rate, window_seconds, max_seconds), sounds)
    embedded = embed_streams(captioner.clap, parts, sounds)
    segments: list[Segment] = []
    while batch := list(islice(embedded, batch_size)):
        captions = iter(_captions(captioner, batch, decoding, candidates))
        for part, embedding in batch:
            if isinstance(embedding, ClapgenError):
                yield CaptionedFile(part.path, [], embedding)
                segments = []
                continue
            segments.append(Segment(part.start, _end(part, rate), next(captions)))
            if part.is_last:
                yield CaptionedFile(part.path, segments)
                segments = []
        if report is not None:
            report(batch[-1][0].path, _end(batch[-1][0], rate))


def _captions(
    captioner: Captioner, batch: list[tuple[_Part, Tensor | ClapgenError]], decoding: Decoding | None, candidates: int
) -> list[Caption]:
    """A caption for each part that could be read."""
    import torch

    rows = [(part, embedding) for part, embedding in batch if not isinstance(embedding, ClapgenError)]
    if not rows:
        return []
    notes = [part.meter.note() for part, _ in rows]
    return captioner.caption_embeddings(torch.stack([row for _, row in rows]), decoding, candidates, notes)


def _end(part: _Part, sample_rate: int) -> float:
    return part.start + part.meter.samples / sample_rate


def _parts(
    paths: Iterable[Path], sample_rate: int, window_seconds: float, max_seconds: float
) -> Iterator[tuple[_Part, Iterator[np.ndarray]]]:
    """The parts of each file and the pieces (samples,) of each; an error in a file is raised by its last pieces."""
    window = round(window_seconds * sample_rate)
    for path in paths:
        pieces = stream_audio(path, sample_rate, max_seconds=max_seconds)
        if not window:
            meter = SilenceMeter()
            yield _Part(path, 0.0, True, meter), meter.watch(pieces)
            continue
        try:
            for start, samples, is_last in adjacent(pieces, window):
                meter = SilenceMeter()
                yield _Part(path, start / sample_rate, is_last, meter), meter.watch([samples])
        except ClapgenError as error:
            yield _Part(path, 0.0, True, SilenceMeter()), _raise(error)


def _raise(error: ClapgenError) -> Iterator[np.ndarray]:
    raise error
    yield


def _read_ahead(items: Iterator[Item], count: int) -> Iterator[Item]:
    """The same items; up to `count` of them are computed in a thread while earlier ones are in use."""
    ahead: deque[Future[list[Item]]] = deque()
    with ThreadPoolExecutor(1) as pool:
        try:
            ahead.extend(pool.submit(_next, items) for _ in range(count))
            while found := ahead.popleft().result():
                ahead.append(pool.submit(_next, items))
                yield found[0]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _next(items: Iterator[Item]) -> list[Item]:
    """A list with the next item, or an empty one: StopIteration cannot pass through a future."""
    for item in items:
        return [item]
    return []
