"""Probability curves of queries over a sound, read as a stream: frames, probabilities, silence, linear upsampling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from clapgen.embedders.base import BROKEN_MODEL, display_name
from clapgen.errors import ClapgenError
from clapgen.localisation.frames import FrameEmbedder, frame_embedder
from clapgen.localisation.probabilities import FrameProbability
from clapgen.localisation.silence import SilentFrames

if TYPE_CHECKING:
    from torch import Tensor

    from clapgen.embedders import ClapEmbedder

Curves = npt.NDArray[np.float32]

CURVE_RATE = 12.5  # points of a curve a second, about; a whole multiple of the frame rate (Wu et al. 2025, FLAM)


class CurveReader:
    """Turns a sound into the curves of several queries.

    Attributes:
        rate: points of a curve a second; point k is about the moment k / rate seconds.
        sample_rate: Hz of the sound that `stream` takes.
    """

    def __init__(
        self,
        clap: ClapEmbedder,
        texts: Tensor,
        probability: FrameProbability,
        frames: FrameEmbedder | None = None,
    ) -> None:
        """For embeddings of the queries (queries, dim); `frames` are the model's own unless others are given."""
        self._clap, self._texts, self._probability = clap, texts, probability
        self.frames = frames or frame_embedder(clap)
        self._factor = max(1, round(CURVE_RATE / self.frames.rate))
        self.rate = self.frames.rate * self._factor
        self._lead = round(self.frames.delay * self.rate)  # points before the first frame
        self.sample_rate = self.frames.sample_rate

    def stream(self, pieces: Iterable[npt.NDArray[np.float32]]) -> Iterator[Curves]:
        """Probabilities (points, queries) in [0, 1], block by block, of a sound that is given in pieces (samples,).

        Frames that are silent have probability 0. Memory does not grow with the length of the sound.

        Raises:
            ClapgenError: what reading the pieces raises; or the model gives NaN.
        """
        before: Curves | None = None
        for block in self._at_frame_rate(pieces):
            if before is None:
                yield block[:1].repeat(self._lead, axis=0)
            points = block if before is None else np.concatenate([before, block])
            yield _between(points, self._factor)
            before = points[-1:]
        if before is not None:
            yield before

    def read(self, waveform: npt.NDArray[np.float32]) -> Curves:
        """The curves (points, queries) of a waveform (samples,) at `sample_rate` Hz."""
        return np.concatenate(list(self.stream([waveform])))

    def _at_frame_rate(self, pieces: Iterable[npt.NDArray[np.float32]]) -> Iterator[Curves]:
        silence = SilentFrames(self.sample_rate, self.frames.rate, self.frames.delay)
        for frames in self.frames.stream(silence.watch(pieces)):
            if not frames.isfinite().all():
                raise ClapgenError(f"the model {display_name(self._clap)} gives NaN or infinity. {BROKEN_MODEL}")
            curves = self._probability(frames, self._texts).numpy().astype(np.float32)
            curves[silence.take(len(curves))] = 0
            yield curves


def _between(points: Curves, factor: int) -> Curves:
    """Points (n, queries) to `factor` as many by linear interpolation, from the first up to but without the last."""
    share = (np.arange(factor, dtype=np.float32) / factor)[None, :, None]
    steps = points[:-1, None] + share * (points[1:] - points[:-1])[:, None]
    return steps.reshape(-1, points.shape[1])
