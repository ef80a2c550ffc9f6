"""Captions of many audio files of any length: read ahead in a thread, cut into windows, captioned in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from captioning.captioner import Caption, Captioner
from captioning.decoding import Decoding
from clapgen.audio import rate_and_duration_of, read_audio
from clapgen.audio.batches import batches_of_sounds
from clapgen.audio.windows import side_by_side
from clapgen.errors import ClapgenError

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
class _Window:
    """One window of a file, or the error that ended reading it."""

    path: Path
    start: float = 0.0
    end: float = 0.0
    last: bool = True
    waveform: np.ndarray | None = None
    error: ClapgenError | None = None

    def samples(self) -> int:
        return 0 if self.waveform is None else len(self.waveform)


def caption_files(
    captioner: Captioner,
    paths: Iterable[Path],
    window_seconds: float = WINDOW_SECONDS,
    decoding: Decoding | None = None,
    candidates: int = 1,
    batch_size: int = 32,
    report: Callable[[Path, float], None] | None = None,
) -> Iterator[CaptionedFile]:
    """Caption files in order; each is yielded as soon as all of its windows are captioned.

    A file longer than `window_seconds` (0: no limit) gets one caption per window. Windows are consecutive, the last one
    flush with the end. Long files are read window by window. After each batch `report` is called with the current file
    and position in seconds. `decoding`, `candidates` and errors are as in `Captioner.caption`, except that a file that
    cannot be read raises nothing and is yielded with its error.
    """
    rate = captioner.clap.sample_rate
    batches = batches_of_sounds(_windows(paths, rate, window_seconds), batch_size, _Window.samples, rate)
    segments: list[Segment] = []
    for batch in _read_ahead(batches):
        sounds = [window.waveform for window in batch if window.waveform is not None]
        captions = iter(captioner.caption(sounds, rate, decoding, candidates))
        if report is not None:
            report(batch[-1].path, batch[-1].end)
        for window in batch:
            if window.error is not None:
                yield CaptionedFile(window.path, [], window.error)
                segments = []
                continue
            segments.append(Segment(window.start, window.end, next(captions)))
            if window.last:
                yield CaptionedFile(window.path, segments)
                segments = []


def _windows(paths: Iterable[Path], sample_rate: int, window_seconds: float) -> Iterator[_Window]:
    for path in paths:
        try:
            spans = side_by_side(rate_and_duration_of(path)[1], window_seconds)
            for index, (start, end) in enumerate(spans):
                last = index == len(spans) - 1
                waveform, _ = read_audio(path, sample_rate, start, None if last else end - start)
                yield _Window(path, start, end, last, waveform)
        except ClapgenError as error:
            yield _Window(path, error=error)


def _read_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, each computed in a thread while the previous one is in use."""
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(_next, items)
        while found := ahead.result():
            ahead = pool.submit(_next, items)
            yield found[0]


def _next(items: Iterator[Item]) -> list[Item]:
    """A list with the next item, or an empty one: StopIteration cannot pass through a future."""
    for item in items:
        return [item]
    return []
