"""Read, write and resample audio files. Mixing to mono and the errors for broken files are here and nowhere else."""

import contextlib
import io
import math
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from clapgen.audio.ogg import fix_serial_number
from clapgen.errors import ClapgenError
from clapgen.files import atomic_path
from clapgen.terminal import defer_keyboard_interrupt

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64"})
OUTPUT_SUFFIXES = (".wav", ".flac", ".ogg", ".opus")

_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
_BLOCK = 1 << 16  # samples; libsndfile's Vorbis encoder overflows its stack when it is given many at once
_UNKNOWN_LENGTH = 0x7FFFF000  # a program that streams a wav writes a length this large (or larger) into its header


def read_audio(
    path: str | os.PathLike[str], sample_rate: int | None = None, start: float = 0.0, duration: float | None = None
) -> tuple[np.ndarray, int]:
    """Read a file as mono (the mean of its channels), resampled if `sample_rate` is given.

    Args:
        sample_rate: in Hz; None keeps the file's own.
        start: where to begin, in seconds.
        duration: how much to read at most, in seconds; None reads to the end.

    Returns:
        `(samples,)` float32, within [-1, 1] for integer formats, and the sample rate in Hz.

    Raises:
        ClapgenError: the file is missing, empty, truncated or not audio, contains NaN or infinite samples, or ends
            before `start`.
    """
    with _open(path) as file:
        rate = file.samplerate
        blocks = [to_mono(block) for block in _blocks(file, path, start, duration)]
    waveform = _checked(np.concatenate(blocks), path)
    if sample_rate is None or sample_rate == rate:
        return waveform, rate
    return _checked(resample(waveform, rate, sample_rate), path), sample_rate


def write_audio(
    path: str | os.PathLike[str],
    waveform: np.ndarray,
    sample_rate: int,
    bits: int | None = None,
    overwrite: bool = False,
) -> None:
    """Write `(samples,)` or `(channels, samples)` in the format of the suffix, completely or not at all.

    Samples outside [-1, 1] are clipped, except in 32-bit float; see `peak_normalise`. Opus supports only five sample
    rates; audio at any other rate is resampled to 48 kHz.

    Args:
        path: ends in .wav, .flac, .ogg (Vorbis) or .opus.
        bits: 16 (default), 24, or for wav also 32 (float). Not for lossy formats.
        overwrite: replace an existing file.

    Raises:
        ClapgenError: the suffix or number of bits is not supported, the waveform is empty or contains NaN or infinite
            samples, the file exists, the folder is not writable, or the disk is full.
    """
    content = encode_audio(path, waveform, sample_rate, bits)
    with atomic_path(path, overwrite) as temporary:
        # Encoded in memory first: libsndfile does not say why a write fails, Python does (full disk, quota, …).
        temporary.write_bytes(content)


def encode_audio(
    path: str | os.PathLike[str], waveform: np.ndarray, sample_rate: int, bits: int | None = None
) -> bytes:
    """The bytes that `write_audio` writes to `path`; the same arguments and errors, but nothing is written."""
    container, subtype = _format_of(Path(path), bits)
    samples = np.asarray(waveform, dtype=np.float32)
    if samples.ndim not in (1, 2) or samples.size == 0:
        raise ClapgenError(f"cannot write {path}: a waveform of shape {samples.shape} has no samples.")
    _checked(samples, path)
    if subtype == "OPUS" and sample_rate not in _OPUS_RATES:
        samples, sample_rate = resample(samples, sample_rate, 48000), 48000
    return bytes(_encode(samples, sample_rate, container, subtype, path))


def resample(waveform: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample `(..., samples)` along the last axis with soxr's high quality; returns float32.

    Raises:
        ClapgenError: a rate is not positive.
    """
    if min(from_rate, to_rate) <= 0:
        raise ClapgenError(f"cannot resample from {from_rate} Hz to {to_rate} Hz; sample rates must be positive.")
    waveform = np.asarray(waveform, dtype=np.float32)
    if from_rate == to_rate:
        return waveform
    flat = waveform.reshape(-1, waveform.shape[-1])
    resampled = [soxr.resample(np.ascontiguousarray(channel), from_rate, to_rate, quality="HQ") for channel in flat]
    return np.stack(resampled).reshape(*waveform.shape[:-1], -1)


def to_mono(waveform: np.ndarray) -> np.ndarray:
    """Average the channels of `(channels, samples)`; returns `(samples,)` unchanged."""
    return waveform if waveform.ndim == 1 else waveform.mean(axis=0, dtype=np.float32)


def peak_normalise(waveform: np.ndarray, dbfs: float = -1.0) -> np.ndarray:
    """Scale a waveform to a peak of `dbfs` decibels relative to full scale; silence stays silent."""
    peak = float(np.abs(waveform).max(initial=0.0))
    if peak < 1e-8:
        return waveform
    return (waveform * (10 ** (dbfs / 20) / peak)).astype(np.float32)


def duration_of(path: str | os.PathLike[str]) -> float:
    """Length in seconds according to the file's header, without decoding.

    Raises:
        ClapgenError: the file is missing or not audio.
    """
    return rate_and_duration_of(path)[1]


def rate_and_duration_of(path: str | os.PathLike[str]) -> tuple[int, float]:
    """Sample rate in Hz and length in seconds according to the file's header, without decoding.

    Raises:
        ClapgenError: the file is missing or not audio.
    """
    with _open(path) as file:
        return file.samplerate, file.frames / file.samplerate


def find_audio(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """List the given files and all audio files in the given folders and their subfolders, without duplicates.

    Files in folders are found by suffix and sorted; hidden ones are skipped.

    Raises:
        ClapgenError: a path does not exist, or a folder contains no audio.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            if not path.exists():
                raise ClapgenError(f"{path} does not exist; check the path.")
            found.append(path)
            continue
        inside = sorted(item for item in path.rglob("[!.]*") if item.suffix.lower() in AUDIO_SUFFIXES)
        if not inside:
            raise ClapgenError(f"{path} contains no audio files ({', '.join(sorted(AUDIO_SUFFIXES))}).")
        found.extend(inside)
    return list(dict.fromkeys(found))


@contextlib.contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[soundfile.SoundFile]:
    path = Path(path)
    if not path.is_file():
        problem = "is a folder, not a file" if path.is_dir() else "does not exist; check the path"
        raise ClapgenError(f"{path} {problem}.")
    if not os.access(path, os.R_OK):
        raise ClapgenError(f"{path} cannot be read: permission denied.")
    if path.stat().st_size == 0:
        raise ClapgenError(f"{path} is an empty file (0 bytes).")
    try:
        with soundfile.SoundFile(path) as file:
            yield file
    except soundfile.LibsndfileError as error:
        reason = error.error_string.removeprefix("Error : ").rstrip(".")
        raise ClapgenError(f"{path} is not audio in a supported format, or is damaged ({reason}).") from error
    except TypeError as error:  # a headerless .raw file, whose sample rate and format are unknown
        raise ClapgenError(f"{path} has no header (raw samples); convert it to .wav or .flac.") from error


def _blocks(
    file: soundfile.SoundFile, path: str | os.PathLike[str], start: float, duration: float | None
) -> Iterator[np.ndarray]:
    """Yield `(channels, samples)` pieces, to mix down long multichannel recordings without loading them whole."""
    if file.frames == 0:
        raise ClapgenError(f"{path} has no samples (length zero).")
    if start < 0 or (duration is not None and not duration > 0):
        raise ClapgenError(
            f"cannot read {duration} s of {path} from {start} s: the start must not be negative, the duration positive."
        )
    first = round(start * file.samplerate)
    if first >= file.frames:
        raise ClapgenError(f"{path} is {file.frames / file.samplerate:.2f} s long; cannot start reading at {start} s.")
    wanted = file.frames - first if duration is None else max(1, math.ceil(duration * file.samplerate))
    remaining = min(wanted, file.frames - first)
    if _is_cut_off(file, Path(path)):
        raise _truncated(path)
    if first:
        file.seek(first)
    while remaining > 0:
        block = file.read(min(remaining, _BLOCK * 16), dtype="float32", always_2d=True)
        if len(block) == 0:
            raise _truncated(path)
        remaining -= len(block)
        yield block.T


def _is_cut_off(file: soundfile.SoundFile, path: Path) -> bool:
    """Whether the header or the last page announces more bytes than the file has, which libsndfile does not report."""
    if match := re.search(r"data\s*: (\d+) \(should be (\d+)\)", file.extra_info):
        promised, present = map(int, match.groups())
        return present < promised < _UNKNOWN_LENGTH
    if file.format != "OGG":
        return False
    with open(path, "rb") as stream:
        stream.seek(max(0, path.stat().st_size - (1 << 17)))  # a page is at most 65,307 bytes
        tail = stream.read()
    last = tail.rfind(b"OggS")
    if last < 0 or len(tail) < last + 27:
        return True
    segments = tail[last + 27 : last + 27 + tail[last + 26]]
    return len(tail) < last + 27 + tail[last + 26] + sum(segments)


def _truncated(path: str | os.PathLike[str]) -> ClapgenError:
    return ClapgenError(f"{path} is truncated: it is shorter than its header says; copy or download it again.")


def _checked(waveform: np.ndarray, path: str | os.PathLike[str]) -> np.ndarray:
    if waveform.size == 0:
        raise ClapgenError(f"{path} is too short: it has no samples at this sample rate.")
    if not np.isfinite(waveform).all():
        raise ClapgenError(f"{path} contains NaN or infinite samples; repair or remove it.")
    return waveform


def _format_of(path: Path, bits: int | None) -> tuple[str, str]:
    suffix = path.suffix.lower()
    if suffix not in OUTPUT_SUFFIXES:
        raise ClapgenError(f"cannot write {path}: unsupported format; use {', '.join(OUTPUT_SUFFIXES)}.")
    if suffix in (".ogg", ".opus"):
        if bits is not None:
            raise ClapgenError(
                f"cannot write {path} with {bits} bits: {suffix} is lossy; use .wav or .flac to choose the bit depth."
            )
        return "OGG", "VORBIS" if suffix == ".ogg" else "OPUS"
    subtypes = {16: "PCM_16", 24: "PCM_24"} | ({32: "FLOAT"} if suffix == ".wav" else {})
    if (bits or 16) not in subtypes:
        raise ClapgenError(f"cannot write {path} with {bits} bits; {suffix} supports {', '.join(map(str, subtypes))}.")
    return suffix[1:].upper(), subtypes[bits or 16]


def _encode(
    samples: np.ndarray, sample_rate: int, container: str, subtype: str, path: str | os.PathLike[str]
) -> bytearray:
    frames = np.atleast_2d(samples).T
    memory = io.BytesIO()
    try:
        with (
            defer_keyboard_interrupt(),  # libsndfile writes through a callback, where an exception would be lost
            soundfile.SoundFile(memory, "w", sample_rate, frames.shape[1], subtype, format=container) as file,
        ):
            for start in range(0, len(frames), _BLOCK):
                file.write(frames[start : start + _BLOCK])
    except soundfile.LibsndfileError as error:
        kind = f"{frames.shape[1]} channels at {sample_rate} Hz as {subtype}"
        raise ClapgenError(
            f"cannot write {path}: {kind} is not supported ({error.error_string.rstrip('.')})."
        ) from error
    encoded = bytearray(memory.getbuffer())
    if container == "OGG":
        fix_serial_number(encoded)
    peak_chunk = encoded.find(b"PEAK", 0, 128) if subtype == "FLOAT" else -1
    if peak_chunk >= 0:
        encoded[peak_chunk + 12 : peak_chunk + 16] = bytes(4)  # a timestamp; without it, same sound means same bytes
    return encoded
