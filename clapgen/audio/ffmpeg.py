"""Sound files through FFmpeg (PyAV): mp3, m4a, ogg, opus, flac, webm, …, and what libsndfile does not read whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import soxr

from clapgen.audio.lengths import mp3_seconds
from clapgen.audio.reader import BLOCK_SAMPLES, Reader, not_audio, reason, truncated
from clapgen.audio.waveform import as_float
from clapgen.errors import ClapgenError

WHOLE_TOLERANCE_SECONDS = 0.1
_UNCOMPRESSED_NAMES = ("wav", "aiff", "au", "caf", "w64")  # to FFmpeg, which takes their length from another field
# Bare sequences of frames. They state no length (FFmpeg guesses it from the bit rate), and FFmpeg finds its way after
# damage, or where two were joined.
_FRAMES_ONLY = (
    *("mp3", "aac", "ac3", "eac3", "dts", "dtshd", "truehd", "mlp", "loas", "latm"),
    *("amr", "amrnb", "amrwb", "gsm", "mpegts", "mpeg"),
)
# The formats that are tried. The others are playlists, which name more files or network addresses, images, and games'.
_FORMATS = (
    "wav,w64,aiff,au,caf,flac,mp3,aac,ogg,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,asf,avi,flv,mpegts,mpeg,ac3,eac3,dts,"
    "dtshd,truehd,mlp,loas,latm,amr,amrnb,amrwb,gsm,ape,wv,tta,tak,shn,mpc,mpc8,dsf,iff,oma,rm,voc,nistsphere,ircam,qcp"
)
_CONTAINER_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "none"}


@contextlib.contextmanager
def open_ffmpeg(stream: BinaryIO, name: str) -> Iterator[Reader]:
    """Open any format that FFmpeg decodes, except playlists and images. ClapgenError if it is none."""
    import av

    try:
        container = av.open(stream, "r", metadata_errors="replace", container_options=_CONTAINER_OPTIONS)
    except (av.FFmpegError, ValueError, OverflowError) as error:
        raise not_audio(name, error) from error
    with container:
        track: Any = container.streams.best("audio")
        if track is None or not track.codec_context:
            raise ClapgenError(f"{name} has no audio track.")
        if not track.rate or not track.channels:
            raise not_audio(name, ValueError("no sample rate"))
        yield FfmpegReader(container, track, name, _stated_seconds(container, track, stream))


class FfmpegReader:
    """The best audio track of a file. `stated_seconds` is its length according to the file, 0 if unknown."""

    def __init__(self, container: Any, track: Any, name: str, stated_seconds: float) -> None:
        self.container, self.track, self.name = container, track, name
        self.sample_rate: int = track.rate
        self.channels: int = track.channels
        self.stated_seconds = max(0.0, stated_seconds - self._pre_skip())
        track.thread_type = "AUTO"

    def seconds(self) -> float | None:
        """Length in seconds: the header's, if the packets bear it out."""
        import av

        try:
            durations = [packet.duration or 0 for packet in self.container.demux(self.track)]
        except av.FFmpegError:
            return None
        packets = float(sum(durations) * self.track.time_base) - self._pre_skip()
        # Packets also hold the encoder's padding, which only the header knows.
        stated = self.stated_seconds
        return stated if stated and abs(stated - packets) < WHOLE_TOLERANCE_SECONDS else None

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
        missing = self.stated_seconds - decoded / self.sample_rate
        if missing > WHOLE_TOLERANCE_SECONDS + 0.01 * self.stated_seconds:
            raise truncated(self.name)

    def _frames(self) -> Iterator[np.ndarray]:
        """`(channels, samples)` float32 of one frame after another, at the rate that the file began with."""
        resampler: soxr.ResampleStream | None = None
        rate = self.sample_rate
        for frame in self._decoded():
            samples = self._samples(frame)
            if frame.sample_rate != rate:  # two files were joined
                if resampler:
                    yield _resampled_chunk(resampler, samples[:, :0], last=True)
                rate = frame.sample_rate
                resampler = None
                if rate != self.sample_rate:
                    resampler = soxr.ResampleStream(rate, self.sample_rate, self.channels, dtype="float32")
            yield _resampled_chunk(resampler, samples) if resampler else samples
        if resampler:
            yield _resampled_chunk(resampler, np.zeros((self.channels, 0), np.float32), last=True)

    def _decoded(self) -> Iterator[Any]:
        import av

        packets = self.container.demux(self.track)
        seconds, failure = 0.0, None
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    break
                for frame in packet.decode():
                    seconds += frame.samples / (frame.sample_rate or self.sample_rate)
                    yield frame
            except av.FFmpegError as error:
                if self.container.format.name not in _FRAMES_ONLY:
                    raise self._damaged(seconds, error) from error
                failure = error
        if failure and not seconds:
            raise not_audio(self.name, failure) from failure

    def _damaged(self, seconds: float, error: Exception) -> ClapgenError:
        if seconds == 0:
            return not_audio(self.name, error)
        if self.stated_seconds - seconds > WHOLE_TOLERANCE_SECONDS:
            return truncated(self.name)
        return ClapgenError(
            f"{self.name} is damaged, or changes its format, at {seconds:.2f} s (decoder: {reason(error)})."
        )

    def _samples(self, frame: Any) -> np.ndarray:
        """`(channels, samples)` float32 of a frame, with as many channels as the file began with."""
        samples = frame.to_ndarray()
        channels = frame.layout.nb_channels
        if not frame.format.is_planar:
            samples = samples.reshape(-1, channels).T
        samples = as_float(samples)
        if channels != self.channels:  # the next link of a chained stream
            samples = np.repeat(samples.mean(axis=0, keepdims=True, dtype=np.float32), self.channels, axis=0)
        return samples


def _resampled_chunk(resampler: soxr.ResampleStream, samples: np.ndarray, last: bool = False) -> np.ndarray:
    interleaved = np.ascontiguousarray(samples.T)
    chunk = resampler.resample_chunk(interleaved[:, 0] if len(samples) == 1 else interleaved, last)
    return chunk.reshape(-1, len(samples)).T


def _stated_seconds(container: Any, track: Any, stream: BinaryIO) -> float:
    """The length that the file itself states, of all that is decoded; 0 if it states none."""
    if track.duration is None:  # matroska and webm give one length for all tracks
        only_sound = all(each.type == "audio" for each in container.streams)
        return container.duration / 1e6 if container.duration and only_sound else 0.0
    stated = float(track.duration * track.time_base)
    if container.format.name == "mp3":
        return stated if abs(stated - mp3_seconds(stream, track.rate)) < WHOLE_TOLERANCE_SECONDS else 0.0
    return 0.0 if container.format.name in (*_FRAMES_ONLY, *_UNCOMPRESSED_NAMES) else stated
