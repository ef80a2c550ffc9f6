"""Sound files as mono waveforms: whole, in part, or as a stream of pieces; the one place where channels are mixed."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import soxr

from clapgen.audio.decoding import Source, name_of, open_reader
from clapgen.audio.waveform import edge_lengths, refuse_impossible_samples, to_mono
from clapgen.errors import ClapgenError

logger = logging.getLogger(__name__)

LONGEST_SECONDS = 6 * 3600.0  # of one sound held in memory; a small file can claim or hold days
LONGEST_STREAM_SECONDS = 24 * 3600.0  # of one sound read in pieces
_USUAL_RATE = 48000  # at a higher rate a sound held in memory may be no longer than LONGEST_SECONDS at this one
CANCELLED = 0.01  # of the channels' mean power: a mix below it has lost the sound


def read_audio(
    source: Source,
    sample_rate: int | None = None,
    start: float = 0.0,
    duration: float | None = None,
    max_seconds: float = LONGEST_SECONDS,
) -> tuple[np.ndarray, int]:
    """Read a sound as mono and resample it if `sample_rate` is given.

    Channels are averaged. Where they cancel each other (one is the other inverted), the loudest is taken instead, and
    a warning is logged. This is decided anew every million samples.

    Args:
        source: a path ("-" is standard input), the content of a file as bytes, or a binary file object such as a pipe.
            Anything that FFmpeg decodes: wav, flac, mp3, ogg, opus, m4a, the audio track of mp4 and webm, …
        sample_rate: Hz of the result; the file's own if None.
        start: seconds to skip.
        duration: seconds to read at most; to the end if None.
        max_seconds: refuse longer sounds, so that a small file cannot fill the memory.

    Returns:
        `(samples,)` float32, in [-1, 1] for integer formats, and its sample rate in Hz.

    Raises:
        ClapgenError: the file is missing, empty, truncated, damaged, not audio, has NaN, infinite or absurdly large
            samples, ends before `start`, or is longer than `max_seconds`.
    """
    _check_part(name_of(source), start, duration)
    with _pieces(source, sample_rate, start, duration) as (rate, pieces):
        longest = max_seconds * min(1.0, _USUAL_RATE / rate)
        waveform = np.concatenate(list(_limited(pieces, longest, rate, name_of(source), "cut it, or read it in parts")))
    return waveform, rate


def stream_audio(
    source: Source,
    sample_rate: int | None = None,
    seconds: float = 10.0,
    max_seconds: float = LONGEST_STREAM_SECONDS,
) -> Iterator[np.ndarray]:
    """Read a sound of any length in bounded memory: mono pieces `(samples,)` float32, one after another.

    The pieces joined are bit for bit what `read_audio` gives. Every piece but the last is `seconds` long.

    Raises:
        ClapgenError: as `read_audio`; also in the middle, where the file is damaged or longer than `max_seconds`.
    """
    name = name_of(source)
    with _pieces(source, sample_rate) as (rate, pieces):
        size = max(1, round(seconds * rate))
        held: list[np.ndarray] = []
        count = 0
        for piece in _limited(pieces, max_seconds, rate, name, "raise the limit (--max-hours, max_seconds), or cut it"):
            held.append(piece)
            count += len(piece)
            while count >= size:
                joined = np.concatenate(held)
                yield joined[:size]
                held, count = [joined[size:]], count - size
        if count:
            yield np.concatenate(held)


def rate_and_duration_of(
    path: str | os.PathLike[str] | bytes, max_seconds: float = LONGEST_STREAM_SECONDS
) -> tuple[int, float]:
    """Sample rate in Hz and length in seconds. Decodes only files whose header has no length, or a wrong one.

    Raises:
        ClapgenError: the file is missing, not audio, or damaged; or is decoded and longer than `max_seconds`.
    """
    with open_reader(path) as reader:
        seconds = reader.seconds()
        if seconds is not None:
            return reader.sample_rate, seconds
    with open_reader(path) as reader:
        rate = reader.sample_rate
        mono = (block[0] for block in reader.blocks())
        return rate, sum(map(len, _limited(mono, max_seconds, rate, name_of(path), "cut it"))) / rate


@contextmanager
def _pieces(
    source: Source, sample_rate: int | None, start: float = 0.0, duration: float | None = None
) -> Iterator[tuple[int, Iterator[np.ndarray]]]:
    """The rate and the checked mono pieces, of any length, of a sound or a part of it."""
    name = name_of(source)
    with open_reader(source) as reader:
        rate = sample_rate or reader.sample_rate
        if not (isinstance(rate, (int, np.integer)) and rate > 0):
            raise ClapgenError(f"cannot read {name} at {rate} Hz; a sample rate must be a positive whole number.")
        first = round(start * reader.sample_rate)
        wanted = None if duration is None else max(1, math.ceil(duration * reader.sample_rate))
        blocks = _part(reader.blocks(first), wanted)
        yield rate, _checked(_resampled(_mono(blocks, name), reader.sample_rate, rate), name, start)


def _part(blocks: Iterator[np.ndarray], wanted: int | None) -> Iterator[np.ndarray]:
    count = 0
    for block in blocks:
        yield block if wanted is None else block[:, : wanted - count]
        count += block.shape[1]
        if wanted is not None and count >= wanted:
            return


def _mono(blocks: Iterator[np.ndarray], name: str) -> Iterator[np.ndarray]:
    """The mean of the channels of each block, or its loudest channel where they cancel each other."""
    warned = False
    for block in blocks:
        mix = to_mono(block)
        if len(block) > 1 and _power(mix) < CANCELLED * _power(block.ravel(order="K")) / len(block):
            loudest = int(np.square(block, dtype=np.float64).sum(axis=1).argmax())
            if not warned:
                logger.warning(
                    "%s: its channels cancel each other when mixed; using channel %d alone", name, loudest + 1
                )
            warned, mix = True, block[loudest]
        yield mix


def _power(samples: np.ndarray) -> float:
    with np.errstate(over="ignore", invalid="ignore"):  # such samples are refused later
        return float(np.dot(samples, samples))


def _resampled(blocks: Iterator[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """What `resample` gives for all blocks joined."""
    if from_rate == to_rate:
        yield from blocks
        return
    edge, edge_resampled = edge_lengths(from_rate, to_rate)
    yield from _without_edges(_chunks(_with_edges(blocks, edge), from_rate, to_rate), edge_resampled)


def _chunks(blocks: Iterator[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    resampler = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield resampler.resample_chunk(np.ascontiguousarray(block))
    yield resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True)


def _with_edges(blocks: Iterator[np.ndarray], length: int) -> Iterator[np.ndarray]:
    """The blocks between `length` copies of the first sample and as many of the last one."""
    last: np.ndarray | None = None
    for block in blocks:
        if last is None and block.size:
            yield np.repeat(block[:1], length)
        yield block
        last = block[-1:] if block.size else last
    if last is not None:
        yield np.repeat(last, length)


def _without_edges(pieces: Iterator[np.ndarray], length: int) -> Iterator[np.ndarray]:
    """The pieces without their first and last `length` samples."""
    held, to_drop = np.zeros(0, dtype=np.float32), length
    for piece in pieces:
        dropped = min(to_drop, len(piece))
        to_drop -= dropped
        held = np.concatenate([held, piece[dropped:]])
        if len(held) > length:
            yield held[:-length]
            held = held[-length:]


def _limited(
    pieces: Iterator[np.ndarray], max_seconds: float, rate: int, name: str, advice: str
) -> Iterator[np.ndarray]:
    count = 0
    for piece in pieces:
        count += len(piece)
        if count > max_seconds * rate:
            raise ClapgenError(f"{name} is longer than {max_seconds / 3600:.4g} h, the most that is read; {advice}.")
        yield piece


def _check_part(name: str, start: float, duration: float | None) -> None:
    for label, value in (("start", start), ("duration", duration)):
        if value is None and label == "duration":
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not math.isfinite(value):
            raise ClapgenError(f"{label} must be a number of seconds, not {value!r}.")
    if start < 0 or (duration is not None and not duration > 0):
        raise ClapgenError(f"cannot read {duration} s from {start} s of {name}; both must be positive.")


def _checked(pieces: Iterator[np.ndarray], name: str, start: float) -> Iterator[np.ndarray]:
    count = 0
    for piece in pieces:
        refuse_impossible_samples(piece, name)
        count += len(piece)
        yield piece
    if not count and start:
        raise ClapgenError(f"{name} ends before {start:g} s, where reading was to start.")
    if not count:
        raise ClapgenError(f"{name} is too short: it has zero samples, or none at this sample rate.")
