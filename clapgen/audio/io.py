"""Read, write and resample sound; the one place where channels are averaged and broken files are named."""

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
from clapgen.interrupts import defer_keyboard_interrupt

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64"})
OUTPUT_SUFFIXES = (".wav", ".flac", ".ogg", ".opus")

_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
_BLOCK = 1 << 16  # samples; libsndfile's Vorbis encoder overflows its stack on long single writes
_UNKNOWN_LENGTH = 0x7FFFF000  # a recorder that streams a wav leaves a length this large (or larger) in its header


def read_audio(
    path: str | os.PathLike[str], sample_rate: int | None = None, start: float = 0.0, duration: float | None = None
) -> tuple[np.ndarray, int]:
    """Read a file as mono, its channels averaged, and resample it if `sample_rate` is given.

    Args:
        sample_rate: Hz of the result; the file's own if None.
        start: seconds to skip.
        duration: seconds to read at most; to the end if None.

    Returns:
        `(samples,)` float32, in [-1, 1] for integer formats, and its sample rate in Hz.

    Raises:
        ClapgenError: the file is missing, empty, truncated, not audio, has NaN or infinite samples, or ends before
            `start`.
    """
    with _open(path) as file:
        rate = file.samplerate
        blocks = [to_mono(block) for block in _blocks(file, path, start, duration)]
    waveform = _checked(np.concatenate(blocks), path)
    if sample_rate is None or sample_rate == rate:
        return waveform, rate
    return _checked(resample(waveform, rate, sample_rate), path), sample_rate


def read_audio_channels(path: str | os.PathLike[str]) -> tuple[np.ndarray, int]:
    """Read a file with its channels apart: `(channels, samples)` float32, and its sample rate in Hz.

    Raises:
        ClapgenError: as `read_audio`.
    """
    with _open(path) as file:
        blocks = list(_blocks(file, path, 0.0, None))
        return _checked(np.concatenate(blocks, axis=-1), path), file.samplerate


def write_audio(
    path: str | os.PathLike[str],
    waveform: np.ndarray,
    sample_rate: int,
    bits: int | None = None,
    overwrite: bool = False,
) -> None:
    """Write `(samples,)` or `(channels, samples)` in the format of the suffix; the file appears whole or not at all.

    Samples beyond [-1, 1] are clipped, except in 32-bit float; see `peak_normalise`. Opus knows five rates only:
    others are resampled to 48 kHz.

    Args:
        path: ends in .wav, .flac, .ogg (Vorbis) or .opus.
        bits: 16 (default), 24, or for wav also 32 (float). Lossy formats have none.
        overwrite: replace an existing file.

    Raises:
        ClapgenError: unknown suffix or bits, an empty waveform, NaN or infinite samples, an existing file, a folder
            that cannot be written, a full disk.
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
        raise ClapgenError(f"cannot write {path}: no samples in a waveform of shape {samples.shape}.")
    _checked(samples, path)
    if subtype == "OPUS" and sample_rate not in _OPUS_RATES:
        samples, sample_rate = resample(samples, sample_rate, 48000), 48000
    return bytes(_encode(samples, sample_rate, container, subtype, path))


def resample(waveform: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Change the sample rate of `(..., samples)` along the last axis (soxr, high quality); float32.

    Raises:
        ClapgenError: a rate is not positive.
    """
    if min(from_rate, to_rate) <= 0:
        raise ClapgenError(f"cannot resample from {from_rate} Hz to {to_rate} Hz; sample rates are positive.")
    waveform = np.asarray(waveform, dtype=np.float32)
    if from_rate == to_rate:
        return waveform
    flat = waveform.reshape(-1, waveform.shape[-1])
    resampled = [soxr.resample(np.ascontiguousarray(channel), from_rate, to_rate, quality="HQ") for channel in flat]
    return np.stack(resampled).reshape(*waveform.shape[:-1], -1)


def to_mono(waveform: np.ndarray) -> np.ndarray:
    """Average the channels of `(channels, samples)`; `(samples,)` passes through."""
    return waveform if waveform.ndim == 1 else waveform.mean(axis=0, dtype=np.float32)


def peak_normalise(waveform: np.ndarray, dbfs: float = -1.0) -> np.ndarray:
    """Scale a waveform so that its largest sample is `dbfs` dB below full scale; silence stays silence."""
    peak = float(np.abs(waveform).max(initial=0.0))
    if peak < 1e-8:
        return waveform
    return (waveform * (10 ** (dbfs / 20) / peak)).astype(np.float32)


def duration_of(path: str | os.PathLike[str]) -> float:
    """Length in seconds as the header says, without decoding.

    Raises:
        ClapgenError: the file is missing or not audio.
    """
    return rate_and_duration_of(path)[1]


def rate_and_duration_of(path: str | os.PathLike[str]) -> tuple[int, float]:
    """Sample rate in Hz and length in seconds as the header says, without decoding.

    Raises:
        ClapgenError: the file is missing or not audio.
    """
    with _open(path) as file:
        return file.samplerate, file.frames / file.samplerate


def find_audio(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """List files as given, and every audio file below folders (by suffix, sorted, hidden ones left out).

    Raises:
        ClapgenError: a path does not exist, or a folder holds no audio.
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
            raise ClapgenError(f"{path} holds no audio; files ending in {', '.join(sorted(AUDIO_SUFFIXES))} count.")
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
        raise ClapgenError(f"{path} is not audio that can be read, or is damaged (decoder: {reason}).") from error
    except TypeError as error:  # a headerless .raw, whose rate and format nobody can know
        raise ClapgenError(f"{path} is raw samples without a header; convert it to .wav or .flac.") from error


def _blocks(
    file: soundfile.SoundFile, path: str | os.PathLike[str], start: float, duration: float | None
) -> Iterator[np.ndarray]:
    """Yield `(channels, samples)` pieces: a long recording of many channels never lies in memory at once."""
    if file.frames == 0:
        raise ClapgenError(f"{path} holds no samples (length zero).")
    if start < 0 or (duration is not None and not duration > 0):
        raise ClapgenError(f"cannot read {duration} s from {start} s of {path}; both must be positive.")
    first = round(start * file.samplerate)
    if first >= file.frames:
        raise ClapgenError(f"{path} ends at {file.frames / file.samplerate:.2f} s, before the start at {start} s.")
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
    """Whether the header or the last page promises more bytes than the file has; libsndfile reads on in silence."""
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
    return ClapgenError(f"{path} is truncated: it ends before its header says; copy or download it again.")


def _checked(waveform: np.ndarray, path: str | os.PathLike[str]) -> np.ndarray:
    if waveform.size == 0:
        raise ClapgenError(f"{path} is too short: nothing is left of it at this sample rate.")
    if not np.isfinite(waveform).all():
        raise ClapgenError(f"{path} has NaN or infinite samples; repair it or leave it out.")
    return waveform


def _format_of(path: Path, bits: int | None) -> tuple[str, str]:
    suffix = path.suffix.lower()
    if suffix not in OUTPUT_SUFFIXES:
        raise ClapgenError(f"cannot write {path}: the name must end in one of {', '.join(OUTPUT_SUFFIXES)}.")
    if suffix in (".ogg", ".opus"):
        if bits is not None:
            raise ClapgenError(
                f"cannot write {path} with {bits} bits: {suffix} is lossy and has none; use .wav or .flac."
            )
        return "OGG", "VORBIS" if suffix == ".ogg" else "OPUS"
    subtypes = {16: "PCM_16", 24: "PCM_24"} | ({32: "FLOAT"} if suffix == ".wav" else {})
    if (bits or 16) not in subtypes:
        raise ClapgenError(f"cannot write {path} with {bits} bits; {suffix} takes {', '.join(map(str, subtypes))}.")
    return suffix[1:].upper(), subtypes[bits or 16]


def _encode(
    samples: np.ndarray, sample_rate: int, container: str, subtype: str, path: str | os.PathLike[str]
) -> bytearray:
    frames = np.atleast_2d(samples).T
    memory = io.BytesIO()
    try:
        with (
            defer_keyboard_interrupt(),  # libsndfile calls back to write, and what is raised in there is lost
            soundfile.SoundFile(memory, "w", sample_rate, frames.shape[1], subtype, format=container) as file,
        ):
            for start in range(0, len(frames), _BLOCK):
                file.write(frames[start : start + _BLOCK])
    except soundfile.LibsndfileError as error:
        kind = f"{frames.shape[1]} channels at {sample_rate} Hz as {subtype}"
        raise ClapgenError(
            f"cannot write {path}: {kind} is not possible ({error.error_string.rstrip('.')})."
        ) from error
    encoded = bytearray(memory.getbuffer())
    if container == "OGG":
        fix_serial_number(encoded)
    peak_chunk = encoded.find(b"PEAK", 0, 128) if subtype == "FLOAT" else -1
    if peak_chunk >= 0:
        encoded[peak_chunk + 12 : peak_chunk + 16] = bytes(4)  # the time of writing: same sound, same file
    return encoded
