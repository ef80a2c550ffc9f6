"""Sound files as mono waveforms: whole, in part, or as a stream of pieces; the one place where channels are mixed."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator

import numpy as np
import soxr

from clapgen.audio.decoding import Source, name_of, open_reader
from clapgen.audio.waveform import resample, to_mono
from clapgen.errors import ClapgenError

logger = logging.getLogger(__name__)

LONGEST_SECONDS = 6 * 3600.0  # of one sound held in memory; a small file can claim or hold days
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
    a warning is logged.

    Args:
        source: a path, the content of a file as bytes, or a binary file object such as `sys.stdin.buffer`. Anything
            that FFmpeg decodes: wav, flac, mp3, ogg, opus, m4a, the audio track of mp4 and webm, …
        sample_rate: Hz of the result; the file's own if None.
        start: seconds to skip.
        duration: seconds to read at most; to the end if None.
        max_seconds: refuse longer sounds, so that a small file cannot fill the memory.

    Returns:
        `(samples,)` float32, in [-1, 1] for integer formats, and its sample rate in Hz.

    Raises:
        ClapgenError: the file is missing, empty, truncated, damaged, not audio, has NaN or infinite samples, ends
            before `start`, or is longer than `max_seconds`.
    """
    name = name_of(source)
    _check_part(name, start, duration)
    with open_reader(source) as reader:
        rate = reader.sample_rate
        first = round(start * rate)
        wanted = None if duration is None else max(1, math.ceil(duration * rate))
        mix, count = _Mix(reader.channels, name), 0
        for block in reader.blocks(first):
            block = block if wanted is None else block[:, : wanted - count]
            count += block.shape[1]
            if count > max_seconds * rate:
                raise ClapgenError(
                    f"{name} is longer than {max_seconds / 3600:g} h, the most that is read into memory; cut it, or "
                    "read it in parts."
                )
            mix.add(block)
            if wanted is not None and count >= wanted:
                break
        if not count and first:
            raise ClapgenError(f"{name} ends before {start:g} s, where reading was to start.")
    waveform = _checked(mix.result(), name)
    if sample_rate is None or sample_rate == rate:
        return waveform, rate
    return _checked(resample(waveform, rate, sample_rate), name), sample_rate


def stream_audio(source: Source, sample_rate: int | None = None, seconds: float = 10.0) -> Iterator[np.ndarray]:
    """Read a sound of any length in bounded memory: mono pieces `(samples,)` float32, one after another.

    The pieces joined are what `read_audio` gives, resampled without a seam; except that channels which cancel are
    looked for in each piece. Every piece but the last is `seconds` long.

    Raises:
        ClapgenError: as `read_audio`; also in the middle, where the file is damaged.
    """
    name = name_of(source)
    with open_reader(source) as reader:
        target = sample_rate or reader.sample_rate
        size = max(1, round(seconds * target))
        held: list[np.ndarray] = []
        count = total = 0
        for piece in _resampled(_mono_blocks(reader.blocks(), reader.channels, name), reader.sample_rate, target):
            held.append(_finite(piece, name))
            count += len(piece)
            total += len(piece)
            while count >= size:
                joined = np.concatenate(held)
                yield joined[:size]
                held, count = [joined[size:]], count - size
        if count:
            yield np.concatenate(held)
    if not total:
        raise _too_short(name)


def rate_and_duration_of(path: str | os.PathLike[str] | bytes) -> tuple[int, float]:
    """Sample rate in Hz and length in seconds. Decodes only files whose header has no length, or a wrong one.

    Raises:
        ClapgenError: the file is missing, not audio, or damaged.
    """
    with open_reader(path) as reader:
        seconds = reader.seconds()
        if seconds is not None:
            return reader.sample_rate, seconds
    with open_reader(path) as reader:
        return reader.sample_rate, sum(block.shape[1] for block in reader.blocks()) / reader.sample_rate


class _Mix:
    """Mono from blocks of several channels: their mean, or the loudest channel if they cancel each other.

    The channels are kept only until the mix has proved to hold the sound: usually one block.
    """

    def __init__(self, channels: int, name: str) -> None:
        self.name = name
        self.means: list[np.ndarray] = []
        self.blocks: list[np.ndarray] = []
        self.powers = np.zeros(channels)
        self.mean_power = 0.0
        self.undecided = channels > 1

    def add(self, block: np.ndarray) -> None:
        """Add `(channels, samples)`."""
        mean = to_mono(block)
        self.means.append(mean)
        if not self.undecided:
            return
        self.powers += np.einsum("cs,cs->c", block, block, dtype=np.float64)
        self.mean_power += float(np.einsum("s,s->", mean, mean, dtype=np.float64))
        self.blocks.append(block)
        if self.mean_power > 0 and not self.mean_power < CANCELLED * self.powers.mean():  # also where there is NaN
            self.undecided, self.blocks = False, []

    def result(self) -> np.ndarray:
        """`(samples,)` of everything added."""
        if not self.means:
            return np.zeros(0, dtype=np.float32)
        if not self.undecided or not self.powers.any():
            return np.concatenate(self.means)
        loudest = int(self.powers.argmax())
        logger.warning("%s: its channels cancel each other when mixed; using channel %d alone", self.name, loudest + 1)
        return np.concatenate([block[loudest] for block in self.blocks])


def _mono_blocks(blocks: Iterator[np.ndarray], channels: int, name: str) -> Iterator[np.ndarray]:
    for block in blocks:
        mix = _Mix(channels, name)
        mix.add(block)
        yield mix.result()


def _resampled(blocks: Iterator[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    if from_rate == to_rate:
        yield from blocks
        return
    resampler = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield resampler.resample_chunk(np.ascontiguousarray(block))
    yield resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True)


def _check_part(name: str, start: float, duration: float | None) -> None:
    for label, value in (("start", start), ("duration", duration)):
        if value is None and label == "duration":
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not math.isfinite(value):
            raise ClapgenError(f"{label} must be a number of seconds, not {value!r}.")
    if start < 0 or (duration is not None and not duration > 0):
        raise ClapgenError(f"cannot read {duration} s from {start} s of {name}; both must be positive.")


def _checked(waveform: np.ndarray, name: str) -> np.ndarray:
    if waveform.size == 0:
        raise _too_short(name)
    return _finite(waveform, name)


def _finite(waveform: np.ndarray, name: str) -> np.ndarray:
    if not np.isfinite(waveform).all():
        raise ClapgenError(f"{name} contains NaN or infinite samples; repair or remove it.")
    return waveform


def _too_short(name: str) -> ClapgenError:
    return ClapgenError(f"{name} is too short: it has zero samples, or none at this sample rate.")
