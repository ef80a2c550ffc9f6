"""Embeddings of the moments of a sound of any length, in bounded memory: overlapping windows, cross-faded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from clapgen.audio.windows import repeat_pad
from clapgen.devices import inference

if TYPE_CHECKING:
    from torch import Tensor

    from clapgen.embedders import ClapEmbedder

Samples = npt.NDArray[np.float32]

WINDOW_SECONDS = 2.0  # of `WindowFrames`; of 1, 2 and 5 s the best on simulated scenes
WINDOWS_PER_SECOND = 4.0
_POOLED = 3  # frames
_DELAY = 0.4  # of a frame: the centre of the gradient of a frame of the residual tower; its shortcuts average forward


class FrameEmbedder(Protocol):
    """Embeds a sound moment by moment. Frame k is about the moment k / `rate` + `delay` seconds; embeddings have
    length 1."""

    @property
    def rate(self) -> float:
        """Frames a second."""

    @property
    def delay(self) -> float:
        """Seconds by which a frame is about something later, less than a frame."""

    @property
    def sample_rate(self) -> int:
        """Hz of the waveforms that `stream` takes."""

    @property
    def policy(self) -> str:
        """How a sound becomes frames, as a phrase for reports."""

    def stream(self, pieces: Iterable[Samples]) -> Iterator[Tensor]:
        """Embeddings (frames, dim), block by block, of a sound that is given in pieces (samples,).

        A sound of s seconds has floor(s · rate) + 1 frames. Memory does not grow with its length.
        """


def frame_embedder(clap: ClapEmbedder) -> FrameEmbedder:
    """The frames of a `Clap`, whose last feature map keeps time; short windows of a public CLAP, which has none."""
    tower = getattr(clap, "audio_tower", None)
    return TowerFrames(clap) if hasattr(tower, "frame_rate") else WindowFrames(clap)


class TowerFrames:
    """Frames of the audio tower of a `Clap`, from windows of the length that it was trained on.

    The first and the last frames of a window see padding instead of the sound around it. Therefore windows overlap by
    half, and the frames of two windows are cross-faded linearly: a frame counts the more, the nearer it is to the
    middle of its window. The last window ends within one frame of the end of the sound. A sound shorter than the window
    is repeated to fill it, as in `Clap.embed_audio`.

    A model with a frame head was trained on single frames and their times, which are used as they are. Other models
    were trained on whole clips: there each frame is pooled with its two neighbours (frame AUROC 0.80 instead of 0.77),
    and its delay is taken into account.
    """

    def __init__(self, clap: Any) -> None:
        self._clap = clap
        self.rate, self.sample_rate = float(clap.audio_tower.frame_rate), int(clap.sample_rate)
        self._period = round(self.sample_rate / self.rate)  # samples from one frame to the next
        self._hop = max(1, (clap.window // self._period + 1) // 2)  # frames from one window to the next
        self._single = getattr(clap, "frame_head", None) is not None
        self.delay = 0.0 if self._single else _DELAY / self.rate
        pooled = "" if self._single else f", each pooled with its neighbours ({_POOLED} frames)"
        seconds = clap.window / self.sample_rate
        self.policy = f"windows of {seconds:g} s, half overlapping, their frames cross-faded{pooled}"

    def stream(self, pieces: Iterable[Samples]) -> Iterator[Tensor]:
        """See `FrameEmbedder`."""
        joined = _CrossFade()
        for first, samples in self._windows(pieces):
            yield from joined.add(first, self._embed(samples, alone=first == 0 and len(samples) < self._clap.window))
        yield from joined.rest()

    def _embed(self, samples: Samples, alone: bool) -> Tensor:
        window = torch.from_numpy(np.ascontiguousarray(samples))
        window = repeat_pad(window, self._clap.window) if alone else window
        frames = self._clap.embed_frames(window, self.sample_rate) if self._single else self._pooled(window)
        return frames[: len(samples) // self._period + 1]

    def _pooled(self, window: Tensor) -> Tensor:
        clap = self._clap
        with inference(clap):
            features = clap.audio_tower.frames(clap.audio_tower.front_end(window[None].to(clap.device)))
            sides = (_POOLED // 2, _POOLED // 2)
            padded = F.pad(features.mT, sides, mode="replicate").mT[0]  # (frames + 2, width)
            groups = padded.unfold(0, _POOLED, 1).mT  # (frames, 3, width)
            return clap.project_features(clap.audio_tower.pool(groups)).cpu()

    def _windows(self, pieces: Iterable[Samples]) -> Iterator[tuple[int, Samples]]:
        """Windows that begin where a frame is, each with the number of that frame."""
        window, period = self._clap.window, self._period
        held, at, first = np.zeros(0, dtype=np.float32), 0, 0  # at: the frame that `held` begins with; first: the next
        for piece in pieces:
            held = np.concatenate([held, piece])
            while len(held) - (first - at) * period > window:
                held, at = held[(first - at) * period :], first
                yield first, held[:window]
                first += self._hop
        length = at * period + len(held)
        if length:
            last = max(0, -((window - length) // period))
            yield last, held[(last - at) * period :]


class WindowFrames:
    """Embeddings of short windows around each moment, for any CLAP; the usual way, and the baseline of evaluations.

    Windows are clipped at the ends of the sound.
    """

    delay = 0.0

    def __init__(
        self, clap: Any, seconds: float = WINDOW_SECONDS, windows_per_second: float = WINDOWS_PER_SECOND
    ) -> None:
        self._clap, self.sample_rate = clap, int(clap.sample_rate)
        self._half = max(1, round(seconds * self.sample_rate / 2))
        self._hop = max(1, round(self.sample_rate / windows_per_second))
        self.rate = self.sample_rate / self._hop
        self.policy = f"windows of {seconds:g} s, {windows_per_second:g} a second"

    def stream(self, pieces: Iterable[Samples]) -> Iterator[Tensor]:
        """See `FrameEmbedder`."""
        size = getattr(self._clap, "windows_per_batch", 16)
        batch: list[Samples] = []
        for window in self._windows(pieces):
            batch.append(window)
            if len(batch) == size:
                yield self._embed(batch)
                batch = []
        if batch:
            yield self._embed(batch)

    def _embed(self, windows: list[Samples]) -> Tensor:
        if hasattr(self._clap, "embed_windows"):
            return self._clap.embed_windows(windows)
        return self._clap.embed_audio(windows, self.sample_rate)

    def _windows(self, pieces: Iterable[Samples]) -> Iterator[Samples]:
        held, at, centre = np.zeros(0, dtype=np.float32), 0, 0
        for piece in pieces:
            held = np.concatenate([held, piece])
            while at + len(held) >= centre + self._half:
                yield held[max(0, centre - self._half - at) : centre + self._half - at]
                centre += self._hop
                forgotten = max(0, min(len(held), centre - self._half - at))
                held, at = held[forgotten:], at + forgotten
        while held.size and centre <= at + len(held):
            yield held[min(max(0, centre - self._half - at), len(held) - 1) :]
            centre += self._hop


class _CrossFade:
    """Frames of overlapping windows, joined: the mean direction, weighted by the distance to the window's ends."""

    def __init__(self) -> None:
        self._first, self._sum, self._weight = 0, torch.zeros(0, 0), torch.zeros(0, 1)

    def add(self, first: int, frames: Tensor) -> Iterator[Tensor]:
        """Add a window that begins with frame number `first`; yields the frames before it, if there are any."""
        done = first - self._first
        if done:
            yield self._joined(done)
            self._sum, self._weight, self._first = self._sum[done:], self._weight[done:], first
        place = torch.arange(len(frames))
        weight = 1.0 + torch.minimum(place, len(frames) - 1 - place)[:, None]
        new = max(0, len(frames) - len(self._sum))
        self._sum = F.pad(self._sum if len(self._sum) else frames[:0], (0, 0, 0, new))
        self._weight = F.pad(self._weight, (0, 0, 0, new))
        self._sum[: len(frames)] += weight * frames
        self._weight[: len(frames)] += weight

    def rest(self) -> Iterator[Tensor]:
        """The frames of the last window."""
        if len(self._sum):
            yield self._joined(len(self._sum))

    def _joined(self, count: int) -> Tensor:
        return F.normalize(self._sum[:count] / self._weight[:count], dim=-1)
