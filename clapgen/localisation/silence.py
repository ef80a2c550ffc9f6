"""Which frames of a sound are silent: nothing can be found there, whatever a network would say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from clapgen.audio.silence import SILENCE_DBFS

_SILENT_SWING = 2 * 10 ** (SILENCE_DBFS / 20)  # from the lowest to the highest sample; a constant offset does not count


class SilentFrames:
    """Watches a sound (samples,) on its way, and says which of its frames have no sample within half a frame of them
    that swings beyond −60 dBFS. Frame k is about the moment k / `frame_rate` + `delay` seconds."""

    def __init__(self, sample_rate: int, frame_rate: float, delay: float = 0.0) -> None:
        self._period, self._delay = sample_rate / frame_rate, sample_rate * delay
        self._held, self._at = np.zeros(0, dtype=np.float32), 0  # samples that belong to no finished frame
        self._frame = 0  # the next to be finished
        self._silent: list[bool] = []

    def watch(self, pieces: Iterable[npt.NDArray[np.float32]]) -> Iterator[npt.NDArray[np.float32]]:
        """The same pieces, each measured on its way."""
        for piece in pieces:
            self._held = np.concatenate([self._held, piece])
            while (end := round((self._frame + 0.5) * self._period + self._delay)) <= self._at + len(self._held):
                self._finish(end)
            yield piece

    def take(self, count: int) -> npt.NDArray[np.bool_]:
        """Whether each of the next `count` frames is silent."""
        while len(self._silent) < count:
            self._finish(self._at + len(self._held))
        taken, self._silent = self._silent[:count], self._silent[count:]
        return np.array(taken, dtype=bool)

    def _finish(self, end: int) -> None:
        samples = self._held[: end - self._at]
        self._silent.append(len(samples) == 0 or float(samples.max() - samples.min()) < _SILENT_SWING)
        self._held, self._at = self._held[end - self._at :], end
        self._frame += 1
