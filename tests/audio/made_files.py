"""Sound files of many kinds, made for tests by FFmpeg's and libsndfile's encoders or byte by byte."""

from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import soundfile

RATE = 44100
SECONDS = 2.5


def sound(seconds: float = SECONDS, rate: int = RATE, hz: float = 330) -> np.ndarray:
    """A sine that grows louder, so that every part of it differs from every other."""
    time = np.arange(round(seconds * rate)) / rate
    return (0.8 * time / seconds * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def encode(
    path: Path, codec: str, container: str | None = None, options: dict[str, str] | None = None, rate: int = RATE
) -> Path:
    """The sound through one of FFmpeg's encoders."""
    with av.open(str(path), "w", format=container, options=options or {}) as out:
        stream = out.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(sound(rate=rate)[None], "fltp", "mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(
            stream.format, stream.layout, stream.rate, stream.codec_context.frame_size or None
        )
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    return path


def by_ffmpeg(path: Path) -> np.ndarray:
    """What FFmpeg itself decodes: the mean of the channels, float32 at the file's rate."""
    with av.open(str(path)) as container:
        track = container.streams.audio[0]
        resampler = av.AudioResampler("fltp", track.layout, track.rate)
        frames = [part for frame in container.decode(track) for part in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray().mean(0) for frame in frames])


def wav(path: Path) -> Path:
    soundfile.write(path, sound(), RATE, subtype="PCM_16")
    return path


def edited(path: Path, at: int, value: int) -> Path:
    """The file with one 32-bit little-endian number replaced."""
    content = bytearray(path.read_bytes())
    content[at : at + 4] = value.to_bytes(4, "little")
    path.write_bytes(content)
    return path


def of_length(promised: Callable[[int], int]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = wav(folder / "length.wav")
        size = path.stat().st_size - 44
        return edited(path, 40, promised(size))

    return make


def piped_flac(folder: Path) -> Path:
    """FLAC written to a pipe: its header cannot be filled in afterwards, so it states no length."""
    path = encode(folder / "piped.flac", "flac")
    content = bytearray(path.read_bytes())
    assert content[:4] == b"fLaC"
    content[21] &= 0xF0  # the 36-bit count of samples in STREAMINFO
    content[22:26] = bytes(4)
    path.write_bytes(content)
    return path


def joined(names: Sequence[str], make: Callable[[Path], Path]) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        pieces = [make(folder / name).read_bytes() for name in names]
        path = folder / f"joined{Path(names[0]).suffix}"
        path.write_bytes(b"".join(pieces))
        return path

    return build


def mp3(path: Path, xing: bool = True, **options: str) -> Path:
    return encode(path, "libmp3lame", "mp3", {"write_xing": str(int(xing)), "id3v2_version": "0", **options})


def ogg(path: Path, subtype: str = "VORBIS", rate: int = RATE) -> Path:
    soundfile.write(path, sound(rate=rate), rate, format="OGG", subtype=subtype)
    return path


def opus(path: Path) -> Path:
    return ogg(path, "OPUS", 48000)
