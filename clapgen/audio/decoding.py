"""Decoders of sound files: libsndfile for uncompressed files, FFmpeg (PyAV) for everything else.

libsndfile reads wav and its relatives ten times faster than PyAV, but cuts or refuses what people have: mp3 without a
length in its header, joined mp3, chained Ogg, FLAC written to a pipe, wav with a wrong length, m4a, mp4, webm.
`benchmarks/decoding_speed.py` compares both.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import soundfile
import soxr

from clapgen.audio.waveform import as_float
from clapgen.errors import ClapgenError

Source = str | os.PathLike[str] | bytes | BinaryIO

UNCOMPRESSED = (b"RIFF", b"RIFX", b"RF64", b"FORM", b".snd", b"caff", b"riff")  # wav, aiff, au, caf, w64
BLOCK_SAMPLES = 1 << 20  # over all channels: how much decoded sound is in memory at a time
SPOOLED_BYTES = 1 << 26  # a pipe beyond this size is kept in a temporary file rather than in memory
TRAILING_BYTES = 64  # a wav that lacks no more than this of its promised length counts as whole
WHOLE_TOLERANCE_SECONDS = 0.1
_UNKNOWN_LENGTH = 0x7FFFF000  # a recorder that streams a wav leaves a length this large (or larger) in its header
_RESYNCING = ("mp3", "aac")  # streams of frames in which FFmpeg finds its way after damage, or where two were joined


class Reader(Protocol):
    """An open sound file. `blocks` decodes it from the start, once."""

    sample_rate: int
    channels: int

    def seconds(self) -> float | None:
        """Length in seconds as far as it is known without decoding; reads the file to its end."""
        ...

    def blocks(self, first: int = 0) -> Iterator[np.ndarray]:
        """Float32 `(channels, samples)`, in [-1, 1] for integer formats, from sample `first` on."""
        ...


@contextlib.contextmanager
def open_reader(source: Source) -> Iterator[Reader]:
    """Open a sound file by path, its content as bytes, or a binary file object such as a pipe.

    Raises:
        ClapgenError: the file is missing, empty, not audio, or damaged.
    """
    name = name_of(source)
    with seekable_stream(source) as stream:
        head = stream.read(16)
        stream.seek(0)
        if not head:
            raise ClapgenError(f"{name} is an empty file (0 bytes).")
        if head.startswith(UNCOMPRESSED):
            with contextlib.suppress(soundfile.LibsndfileError), soundfile.SoundFile(stream) as file:
                if _is_sound(file, name):
                    yield UncompressedReader(file, name)
                    return
            stream.seek(0)
        if head.startswith(b"OggS") and _ogg_is_cut_off(stream):
            raise truncated(name)
        with _open_ffmpeg(stream, name) as reader:
            yield reader


def name_of(source: Source) -> str:
    """How messages name a source: its path, or what kind of stream it is."""
    if isinstance(source, (str, os.PathLike)):
        return str(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "the sound given as bytes"
    name = getattr(source, "name", None)
    if name in ("<stdin>", 0):
        return "standard input"
    return name if isinstance(name, str) else "the given stream"


@contextlib.contextmanager
def seekable_stream(source: Source) -> Iterator[BinaryIO]:
    """Open a source for reading; a pipe is copied, since containers such as mp4 are read out of order.

    Raises:
        ClapgenError: the file does not exist or cannot be read.
    """
    name = name_of(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield io.BytesIO(source)
    elif isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if path.is_dir():
            raise ClapgenError(f"{name} is a folder, not a file.")
        try:
            file = open(path, "rb")  # noqa: SIM115 - closed below
        except FileNotFoundError:
            raise ClapgenError(f"{name} does not exist; check the path.") from None
        except PermissionError:
            raise ClapgenError(f"{name} cannot be read: permission denied.") from None
        except (OSError, ValueError) as error:
            raise ClapgenError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
        with file, _seekable(file) as stream:
            yield stream
    else:
        with _seekable(source) as stream:
            yield stream


@contextlib.contextmanager
def _seekable(stream: BinaryIO) -> Iterator[BinaryIO]:
    if stream.seekable():
        yield stream
        return
    with tempfile.SpooledTemporaryFile(SPOOLED_BYTES) as copy:
        shutil.copyfileobj(stream, copy, 1 << 20)
        copy.seek(0)
        yield copy  # type: ignore[misc]


class UncompressedReader:
    """wav, aiff, au, caf and w64 through libsndfile."""

    def __init__(self, file: soundfile.SoundFile, name: str) -> None:
        self.file, self.name = file, name
        self.sample_rate: int = file.samplerate
        self.channels: int = file.channels

    def seconds(self) -> float:
        """Length in seconds, from the header."""
        return self.file.frames / self.sample_rate

    def blocks(self, first: int = 0) -> Iterator[np.ndarray]:
        """Float32 `(channels, samples)` from sample `first` on."""
        remaining = self.file.frames - first
        if remaining > 0:
            self.file.seek(first)
        while remaining > 0:
            block = self.file.read(min(remaining, max(1, BLOCK_SAMPLES // self.channels)), "float32", always_2d=True)
            if len(block) == 0:
                raise truncated(self.name)
            remaining -= len(block)
            yield block.T


def _is_sound(file: soundfile.SoundFile, name: str) -> bool:
    """Whether libsndfile reads this file whole; FFmpeg ignores a length of zero or one that is a little too large."""
    match = re.search(r"data\s*: (\d+) \(should be (\d+)\)", file.extra_info)
    if not match:
        return file.frames > 0
    promised, present = map(int, match.groups())
    if promised - present > TRAILING_BYTES and promised < _UNKNOWN_LENGTH:
        raise truncated(name)
    return file.frames > 0 and promised >= _UNKNOWN_LENGTH


@contextlib.contextmanager
def _open_ffmpeg(stream: BinaryIO, name: str) -> Iterator[Reader]:
    import av

    try:
        container = av.open(stream, "r", metadata_errors="replace")
    except (av.FFmpegError, ValueError, OverflowError) as error:
        raise _not_audio(name, error) from error
    with container:
        track: Any = container.streams.best("audio")
        if track is None or not track.codec_context:
            raise ClapgenError(f"{name} has no audio track.")
        if not track.rate or not track.channels:
            raise _not_audio(name, ValueError("no sample rate"))
        yield FfmpegReader(container, track, name, _has_length(stream, container.format.name))


class FfmpegReader:
    """Every other format, by FFmpeg: mp3, m4a, ogg, opus, flac, webm, …, and damaged wav."""

    def __init__(self, container: Any, track: Any, name: str, has_length: bool) -> None:
        self.container, self.track, self.name = container, track, name
        self.has_length = has_length
        self.sample_rate: int = track.rate
        self.channels: int = track.channels
        track.thread_type = "AUTO"

    def seconds(self) -> float | None:
        """Length in seconds: the header's, if the packets bear it out."""
        import av

        try:
            durations = [packet.duration or 0 for packet in self.container.demux(self.track)]
        except av.FFmpegError:
            return None
        packets = float(sum(durations) * self.track.time_base) - self._pre_skip()
        header = self._header_seconds()
        # Packets also hold the encoder's padding, which only the header knows.
        return header if header and abs(header - packets) < WHOLE_TOLERANCE_SECONDS else None

    def _header_seconds(self) -> float:
        if not self.track.duration or not self.has_length:
            return 0.0
        return float(self.track.duration * self.track.time_base) - self._pre_skip()

    def _pre_skip(self) -> float:
        """Seconds at the start of an Opus stream that are decoded and dropped (RFC 7845)."""
        header = self.track.codec_context.extradata or b""
        return int.from_bytes(header[10:12], "little") / 48000 if header.startswith(b"OpusHead") else 0.0

    def blocks(self, first: int = 0) -> Iterator[np.ndarray]:
        """Float32 `(channels, samples)` from sample `first` on."""
        size, held, frames, skipped = max(1, BLOCK_SAMPLES // self.channels), 0, [], 0
        decoded = 0
        for frame in self._frames():
            decoded += frame.shape[1]
            if skipped < first:
                cut = min(first - skipped, frame.shape[1])
                skipped += cut
                frame = frame[:, cut:]
            frames.append(frame)
            held += frame.shape[1]
            if held >= size:
                yield np.concatenate(frames, axis=1)
                frames, held = [], 0
        if held:
            yield np.concatenate(frames, axis=1)
        missing = self._header_seconds() - decoded / self.sample_rate
        if missing > WHOLE_TOLERANCE_SECONDS + 0.01 * self._header_seconds():
            raise truncated(self.name)

    def _frames(self) -> Iterator[np.ndarray]:
        import av

        packets = self.container.demux(self.track)
        decoded, failure = 0, None
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    break
                for frame in packet.decode():
                    decoded += frame.samples
                    yield self._samples(frame)
            except av.FFmpegError as error:
                if self.container.format.name not in _RESYNCING:
                    raise self._damaged(decoded / self.sample_rate, error) from error
                failure = error
        if failure and not decoded:
            raise _not_audio(self.name, failure) from failure

    def _damaged(self, seconds: float, error: Exception) -> ClapgenError:
        if seconds == 0:
            return _not_audio(self.name, error)
        if self._header_seconds() - seconds > WHOLE_TOLERANCE_SECONDS:
            return truncated(self.name)
        return ClapgenError(
            f"{self.name} is damaged, or changes its format, at {seconds:.2f} s (decoder: {_reason(error)})."
        )

    def _samples(self, frame: Any) -> np.ndarray:
        """`(channels, samples)` float32 of a frame, at the rate and with the channels that the file began with."""
        samples = frame.to_ndarray()
        channels = frame.layout.nb_channels
        if not frame.format.is_planar:
            samples = samples.reshape(-1, channels).T
        samples = as_float(samples)
        if channels != self.channels:  # the next link of a chained stream
            samples = np.repeat(samples.mean(axis=0, keepdims=True, dtype=np.float32), self.channels, axis=0)
        if frame.sample_rate != self.sample_rate:
            samples = soxr.resample(samples.T, frame.sample_rate, self.sample_rate).reshape(-1, self.channels).T
        return samples


def _has_length(stream: BinaryIO, format_name: str) -> bool:
    """Whether the container states its length; for mp3 without a Xing or VBRI header FFmpeg guesses by the bit rate."""
    if format_name not in _RESYNCING:
        return True
    position = stream.tell()
    stream.seek(0)
    head = stream.read(1 << 16)
    if head.startswith(b"ID3") and len(head) >= 10:
        size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        stream.seek(10 + size)
        head = stream.read(4096)
    stream.seek(position)
    return format_name == "mp3" and any(mark in head[:4096] for mark in (b"Xing", b"Info", b"VBRI"))


def _ogg_is_cut_off(stream: BinaryIO) -> bool:
    """Whether the last page is shorter than it says; decoders stop before it without a word."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - (1 << 17)))  # a page is at most 65,307 bytes
    tail = stream.read()
    stream.seek(0)
    last = tail.rfind(b"OggS")
    if last < 0 or len(tail) < last + 27:
        return True
    segments = tail[last + 27 : last + 27 + tail[last + 26]]
    return len(tail) < last + 27 + tail[last + 26] + sum(segments)


def truncated(name: str) -> ClapgenError:
    """The error for a file that ends early."""
    return ClapgenError(f"{name} is truncated: it is shorter than its header says; copy or download it again.")


def _not_audio(name: str, error: BaseException) -> ClapgenError:
    return ClapgenError(f"{name} is not audio that can be read, or is damaged (decoder: {_reason(error)}).")


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error).strip().rstrip(".")
