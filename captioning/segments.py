"""Captions of many sound files of any length: read ahead in a thread, cut into windows, captioned in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from captioning.captioner import Caption, Captioner
from captioning.decoder import Decoding
from clapgen.audio import duration_of, read_audio
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
    """A file and the captions of its windows, in order; none where it could not be read, which `error` then says."""

    path: Path
    segments: list[Segment]
    error: ClapgenError | None = None


@dataclass(frozen=True)
class _Window:
    """One window of a file, or the error that the file ends with."""

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
    """Caption files one after another; each comes as soon as all of its windows are captioned.

    A file longer than `window_seconds` (0: none is) has a caption for each window; windows lie side by side, the last
    flush with the end. Long files are read window by window. `report` is told the file and the second that each batch
    has come to. `decoding` and `candidates` are as in
    `Captioner.caption`, errors too; a file that cannot be read is no error here, but comes with its own.
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
            spans = side_by_side(duration_of(path), window_seconds)
            for place, (start, end) in enumerate(spans):
                last = place == len(spans) - 1
                waveform, _ = read_audio(path, sample_rate, start, None if last else end - start)
                yield _Window(path, start, end, last, waveform)
        except ClapgenError as error:
            yield _Window(path, error=error)


def _read_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items; while one is worked on, the next is made in a thread."""
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(_next, items)
        while found := ahead.result():
            ahead = pool.submit(_next, items)
            yield found[0]


def _next(items: Iterator[Item]) -> list[Item]:
    """The next item, if there is one: a StopIteration does not pass through a thread."""
    for item in items:
        return [item]
    return []
