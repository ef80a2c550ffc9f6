"""`Fingerprint` of a recording: landmarks, by which it is found, and sub-band bits, by which it is recognised."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from clapgen.audio.decoding import Source
from clapgen.audio.reading import stream_audio
from clapgen.audio.waveform import mono_samples_at
from clapgen.errors import ClapgenError
from clapgen.fingerprints.bits import LAG, Masks, Words, band_bits
from clapgen.fingerprints.landmarks import BINS, TIME_REACH, Integers, find_peaks
from clapgen.fingerprints.spectrum import BLOCK, FLOOR, FRAMES_PER_SECOND, RATE, Array, power_pieces

VERSION = 1
_HEADER = struct.Struct("<4sBxxxII")  # magic, version, frames, peaks
_MAGIC = b"CGFP"
_SILENT = 60 * math.log(10) / 10  # below the loudest; log power


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What identifies a recording, in at most 375 bytes per second.

    Attributes:
        words: `(frames,)`, 32 sub-band bits for each frame of 16 ms.
        masks: `(blocks,)`, for each block of 16 frames which of its 8 groups of bands sound.
        peak_frames, peak_bins: of the landmarks, in the order of time.
    """

    words: Words
    masks: Masks
    peak_frames: Integers
    peak_bins: Integers

    @property
    def seconds(self) -> float:
        """How much of the recording it covers: all but the last incomplete frame."""
        return len(self.words) / FRAMES_PER_SECOND

    def to_bytes(self) -> bytes:
        """The fingerprint for storage; the same for the same samples, on every machine of one kind."""
        counts = np.bincount(self.peak_frames // BLOCK, minlength=len(self.masks)).astype(np.uint8)
        peaks = ((self.peak_frames % BLOCK) << 9 | self.peak_bins).astype("<u2")
        header = _HEADER.pack(_MAGIC, VERSION, len(self.words), len(peaks))
        arrays = (self.words.astype("<u4"), self.masks, counts, peaks)
        return header + b"".join(array.tobytes() for array in arrays)

    @classmethod
    def from_bytes(cls, content: bytes) -> Fingerprint:
        """The fingerprint that `to_bytes` stored.

        Raises:
            ClapgenError: the content is damaged, or of another version.
        """
        if len(content) < _HEADER.size or content[:4] != _MAGIC:
            raise ClapgenError("this is not a stored audio fingerprint; compute it again from the sound.")
        _, version, frames, peaks = _HEADER.unpack_from(content)
        if version != VERSION:
            raise ClapgenError(
                f"an audio fingerprint of version {version} is not supported (only {VERSION}); "
                "compute it again from the sound."
            )
        blocks = math.ceil(frames / BLOCK)
        damaged = ClapgenError("a stored audio fingerprint is damaged; compute it again from the sound.")
        if len(content) != _HEADER.size + 4 * frames + 2 * blocks + 2 * peaks:
            raise damaged
        end = _HEADER.size + 4 * frames
        words = np.frombuffer(content, "<u4", frames, _HEADER.size)
        masks, counts = np.frombuffer(content, np.uint8, 2 * blocks, end).reshape(2, blocks)
        packed = np.frombuffer(content, "<u2", peaks, end + 2 * blocks).astype(np.int64)
        if counts.sum(dtype=np.int64) != peaks or (packed & 511).max(initial=0) >= BINS:
            raise damaged
        peak_frames = np.repeat(np.arange(blocks) * BLOCK, counts) + (packed >> 9) % BLOCK
        return cls(words, masks, peak_frames, packed & 511)


def fingerprint(waveform: Any, sample_rate: int) -> Fingerprint:
    """The fingerprint of a waveform `(samples,)` at `sample_rate` Hz.

    A sound shorter than a second has little to be recognised by; silence matches nothing.

    Raises:
        ClapgenError: the waveform is not mono, empty, or has samples that are not finite.
    """
    return _of_pieces([mono_samples_at(waveform, sample_rate, RATE)])


def fingerprint_file(source: Source | os.PathLike[str]) -> Fingerprint:
    """The fingerprint of a sound file of any length up to a day, in bounded memory.

    Raises:
        ClapgenError: as `clapgen.read_audio`.
    """
    return _of_pieces(stream_audio(source, RATE))


def _of_pieces(pieces: Iterable[Array]) -> Fingerprint:
    words, levels, peaks = [], [], []
    start = 0
    for power, first, count in power_pieces(pieces, max(TIME_REACH, LAG)):
        word, level = band_bits(power, first, count)
        frames, bins, peak_levels = find_peaks(power, first, count)
        words.append(word)
        levels.append(level)
        peaks.append((frames + start, bins, peak_levels))
        start += count
    frames, bins, peak_levels = (np.concatenate(column) for column in zip(*peaks, strict=True))
    loud = peak_levels > peak_levels.max(initial=-np.inf) - _SILENT
    return Fingerprint(np.concatenate(words), _masks(np.concatenate(levels)), frames[loud], bins[loud])


def _masks(level: Array) -> Masks:
    """Which tiles of `level` (frames, TILES) sound, as the bits of one byte per block."""
    loudest = np.maximum.reduceat(level, np.arange(0, len(level), BLOCK), axis=0)
    silence = max(float(level.max()) - _SILENT, math.log(2 * FLOOR))
    return np.packbits(loudest > silence, axis=1, bitorder="little")[:, 0]
