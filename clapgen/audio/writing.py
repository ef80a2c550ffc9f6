"""Write audio files: wav, flac, mp3, ogg, opus, with a comment inside; and read the comment back."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from clapgen.audio.decoding import Source, name_of, seekable_stream
from clapgen.audio.ogg import fix_serial_number
from clapgen.audio.waveform import as_float, resample
from clapgen.errors import ClapgenError
from clapgen.files import atomic_path
from clapgen.terminal import defer_keyboard_interrupt

OUTPUT_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus")

_LOSSY = {".mp3": ("MP3", "MPEG_LAYER_III"), ".ogg": ("OGG", "VORBIS"), ".opus": ("OGG", "OPUS")}
_RATES = {  # of formats that do not support every rate
    "OPUS": (8000, 12000, 16000, 24000, 48000),
    "MPEG_LAYER_III": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
}
_BLOCK = 1 << 16  # samples; libsndfile's Vorbis encoder overflows its stack when it is given many at once


def write_audio(
    target: str | os.PathLike[str] | BinaryIO,
    waveform: np.ndarray,
    sample_rate: int,
    bits: int | None = None,
    overwrite: bool = False,
    comment: str = "",
    suffix: str = "",
) -> None:
    """Write `(samples,)` or `(channels, samples)` in the format of the suffix, completely or not at all.

    Samples outside [-1, 1] are clipped, except in 32-bit float; see `peak_normalise`. Opus and mp3 support only a few
    sample rates; audio at any other rate is resampled to 48 kHz.

    Args:
        target: a path that ends in .wav, .flac, .mp3, .ogg (Vorbis) or .opus, or a binary file object.
        waveform: float in [-1, 1], or integers, which are divided by their full scale.
        bits: 16 (default), 24, or for wav also 32 (float). Not for lossy formats.
        overwrite: replace an existing file.
        comment: ASCII text to store in the file (RIFF INFO, Vorbis comment, ID3); `read_comment` reads it.
        suffix: the format, such as ".wav", where `target` has none.

    Raises:
        ClapgenError: the suffix or number of bits is not supported, the waveform is empty or contains NaN or infinite
            samples, the file exists, the folder is not writable, or the disk is full.
    """
    path = Path(target) if isinstance(target, (str, os.PathLike)) else None
    # Encode in memory first: libsndfile does not report why a write fails, Python does (full disk, quota, …).
    content = encode_audio(path or f"sound{suffix}", waveform, sample_rate, bits, comment)
    if path is None:
        target.write(content)  # type: ignore[union-attr]
        return
    with atomic_path(path, overwrite) as temporary:
        temporary.write_bytes(content)


def rates_of(suffix: str) -> tuple[int, ...]:
    """The sample rates in Hz that a lossy format supports; empty if it supports every usual rate."""
    return _RATES.get(_LOSSY.get(suffix.lower(), ("", ""))[1], ())


def encode_audio(
    path: str | os.PathLike[str], waveform: np.ndarray, sample_rate: int, bits: int | None = None, comment: str = ""
) -> bytes:
    """The bytes that `write_audio` writes to `path`; the same arguments and errors, but nothing is written."""
    container, subtype = _format_of(Path(path), bits)
    samples = as_float(waveform)
    if samples.ndim not in (1, 2) or samples.size == 0:
        raise ClapgenError(f"cannot write {path}: a waveform of shape {samples.shape} has no samples.")
    if not np.isfinite(samples).all():
        raise ClapgenError(f"cannot write {path}: the waveform contains NaN or infinite samples.")
    if not comment.isascii():
        raise ValueError("a comment must be ASCII: in ID3 tags libsndfile garbles the rest; use json.dumps' escapes")
    if sample_rate not in _RATES.get(subtype, (sample_rate,)):
        samples, sample_rate = resample(samples, sample_rate, 48000), 48000
    return bytes(_encode(samples, sample_rate, container, subtype, path, comment))


def read_comment(source: Source) -> str:
    """The comment inside an audio file, as `write_audio` stores it; empty if there is none.

    Raises:
        ClapgenError: the file is missing or not audio.
    """
    with seekable_stream(source) as stream:
        try:
            with soundfile.SoundFile(stream) as file:
                return file.comment or ""
        except soundfile.LibsndfileError:
            pass
        import av

        stream.seek(0)
        try:
            with av.open(stream, "r", metadata_errors="replace") as container:
                tags = {**container.metadata, **(container.streams.best("audio") or container).metadata}
                return str(tags.get("comment", ""))
        except (av.FFmpegError, ValueError) as error:
            raise ClapgenError(f"{name_of(source)} is not audio, or is damaged ({error}).") from error


def _format_of(path: Path, bits: int | None) -> tuple[str, str]:
    suffix = path.suffix.lower()
    if suffix not in OUTPUT_SUFFIXES:
        raise ClapgenError(f"cannot write {path}: unsupported format; use {', '.join(OUTPUT_SUFFIXES)}.")
    if suffix in _LOSSY:
        if bits is not None:
            raise ClapgenError(
                f"cannot write {path} with {bits} bits: {suffix} is lossy; use .wav or .flac to choose the bit depth."
            )
        return _LOSSY[suffix]
    subtypes = {16: "PCM_16", 24: "PCM_24"} | ({32: "FLOAT"} if suffix == ".wav" else {})
    if (bits or 16) not in subtypes:
        raise ClapgenError(f"cannot write {path} with {bits} bits; {suffix} supports {', '.join(map(str, subtypes))}.")
    return suffix[1:].upper(), subtypes[bits or 16]


def _encode(
    samples: np.ndarray, sample_rate: int, container: str, subtype: str, path: str | os.PathLike[str], comment: str
) -> bytearray:
    frames = np.atleast_2d(samples).T
    memory = io.BytesIO()
    try:
        with (
            defer_keyboard_interrupt(),  # libsndfile writes through a callback, where an exception would be lost
            soundfile.SoundFile(memory, "w", sample_rate, frames.shape[1], subtype, format=container) as file,
        ):
            if comment:
                file.comment = comment
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
    if subtype == "FLOAT":
        _clear_timestamp(encoded)
    return encoded


def _clear_timestamp(wav: bytearray) -> None:
    """Clear the time in the PEAK chunk of a wav of floats, so that the same sound has the same bytes."""
    position = 12
    while position + 8 <= len(wav):
        if wav[position : position + 4] == b"PEAK":
            wav[position + 12 : position + 16] = bytes(4)
            return
        length = int.from_bytes(wav[position + 4 : position + 8], "little")
        position += 8 + length + length % 2
