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
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from clapgen.audio.ffmpeg import open_ffmpeg
from clapgen.audio.lengths import caf_is_cut_off, ogg_is_cut_off
from clapgen.audio.reader import BLOCK_SAMPLES, Reader, not_audio, truncated
from clapgen.errors import ClapgenError

Source = str | os.PathLike[str] | bytes | BinaryIO

STDIN = "-"  # as a path: standard input

UNCOMPRESSED = (b"RIFF", b"RIFX", b"RF64", b"FORM", b".snd", b"caff", b"riff")  # wav, aiff, au, caf, w64
_EXACT = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW", "ALAC_")  # libsndfile decodes ADPCM and GSM a little differently
SPOOLED_BYTES = 1 << 26  # a pipe beyond this size is kept in a temporary file rather than in memory
TRAILING_BYTES = 64  # a wav that lacks no more than this of its promised length counts as whole
_UNKNOWN_LENGTH = 0x7FFFF000  # a recorder that streams a wav leaves a length this large (or larger) in its header
_UNKNOWN_LENGTH_64 = 1 << 62  # the same for RF64 and w64
# What libsndfile notes of a part that is shorter than its header says, in wav, aiff, au, w64 and RF64.
_TOO_SHORT = re.compile(r"^ *(data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)


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
            file = _open_uncompressed(stream, name)
            if file is not None:
                with file:
                    yield UncompressedReader(file, name)
                return
            stream.seek(0)
        if (head.startswith(b"OggS") and ogg_is_cut_off(stream)) or (head[:4] == b"caff" and caf_is_cut_off(stream)):
            raise truncated(name)
        with open_ffmpeg(stream, name) as reader:
            yield reader


def name_of(source: Source) -> str:
    """How messages name a source: its path, or what kind of stream it is."""
    if isinstance(source, (str, os.PathLike)):
        return str(source) if str(source) != STDIN else "standard input"
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
        ClapgenError: the file does not exist or cannot be read, nothing is piped into standard input, or the source is
            none.
    """
    name = name_of(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield io.BytesIO(source)
    elif isinstance(source, (str, os.PathLike)) and str(source) == STDIN:
        if sys.stdin is None or sys.stdin.isatty():
            raise ClapgenError("standard input (-) is a terminal; pipe a sound into it: clapgen … - < sound.wav")
        with _seekable(sys.stdin.buffer) as stream:
            yield stream
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
    elif hasattr(source, "read") and not isinstance(source, io.TextIOBase):
        with _seekable(source) as stream:
            yield stream
    else:
        raise ClapgenError(
            f"a sound is read from a path, bytes or a binary file object (open(path, 'rb')), not from a "
            f"{type(source).__name__}."
        )


@contextlib.contextmanager
def _seekable(stream: BinaryIO) -> Iterator[BinaryIO]:
    if getattr(stream, "seekable", bool)():
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
            size = min(remaining, max(1, BLOCK_SAMPLES // self.channels))
            try:
                block = self.file.read(size, "float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                raise not_audio(self.name, error) from error
            if len(block) == 0:
                raise truncated(self.name)
            remaining -= len(block)
            yield block.T


def _open_uncompressed(stream: BinaryIO, name: str) -> soundfile.SoundFile | None:
    """The file, open, if libsndfile reads it whole and exactly."""
    try:
        file = soundfile.SoundFile(stream)
    except soundfile.LibsndfileError:
        return None
    try:
        if _is_whole(file, name) and file.subtype.startswith(_EXACT):
            return file
    except BaseException:
        file.close()
        raise
    file.close()
    return None


def _is_whole(file: soundfile.SoundFile, name: str) -> bool:
    """Whether libsndfile reads this file whole; FFmpeg ignores a length of zero or one that is a little too large."""
    match = _TOO_SHORT.search(file.extra_info)
    if not match:
        return file.frames > 0
    promised, present = int(match[2]), int(match[3])
    unknown = _UNKNOWN_LENGTH_64 if match[1] in ("riff", "Riff size") else _UNKNOWN_LENGTH
    if promised - present > TRAILING_BYTES and promised < unknown:
        raise truncated(name)
    return file.frames > 0 and promised >= unknown
