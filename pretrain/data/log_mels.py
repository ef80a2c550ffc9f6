"""A cache on disk of the log-mels of decoded clips, so that training computes none."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from clapgen.audio.mel import LogMel
from clapgen.data.audio_cache import AudioCache
from clapgen.files import atomic_path
from clapgen.terminal import progress

FORMAT = 1  # raise it when the same samples give other log-mels than before
SILENT_FRAMES = 1e-3  # frames below this share of the loudest one's power (-30 dB) do not count for the level


class LogMels:
    """The log-mels of the clips of an `AudioCache`, in dB, as float16 in one memory-mapped file.

    `lengths[i]` is the number of frames of clip i, and `levels[i]` its level in dB: the mean power of the frames that
    are not silent, summed over bands.
    """

    def __init__(self, data: np.ndarray, lengths: np.ndarray, levels: np.ndarray, floor_db: float) -> None:
        self.data, self.lengths, self.levels, self.floor_db = data, lengths, levels, floor_db
        self.starts = np.concatenate([[0], lengths.cumsum()])

    @classmethod
    @torch.inference_mode()
    def build(cls, cache: AudioCache, front_end: LogMel, folder: str | Path) -> LogMels:
        """Compute the log-mels of all clips, or open the file that holds them.

        Raises:
            ClapgenError: the file cannot be written.
        """
        settings = [getattr(front_end, k) for k in ("sample_rate", "n_fft", "hop_length", "n_mels", "f_min", "f_max")]
        key = hashlib.sha256("\n".join([str(FORMAT), *map(str, settings), *cache.identities]).encode()).hexdigest()
        path = Path(folder) / f"log-mels-{key[:16]}.npz"
        data_path = path.with_suffix(".npy")
        if not (path.exists() and data_path.exists()):
            lengths = np.maximum(cache.lengths, front_end.n_fft // 2 + 1) // front_end.hop_length + 1
            levels = np.zeros(len(cache), dtype=np.float32)
            with atomic_path(data_path, overwrite=True) as temporary, progress(len(cache), "clips") as update:
                size = (int(lengths.sum()), front_end.n_mels)
                data = np.lib.format.open_memmap(temporary, "w+", np.float16, size)
                position = 0
                for index in range(len(cache)):
                    waveform = torch.from_numpy(cache.waveform(index))
                    padded = torch.nn.functional.pad(waveform, (0, max(0, front_end.n_fft // 2 + 1 - len(waveform))))
                    log_mel = front_end(padded[None])[0].T
                    data[position : position + len(log_mel)] = log_mel.numpy()
                    levels[index] = level_db(log_mel)
                    position += len(log_mel)
                    update(index + 1, "Computing log-mels")
                data.flush()
                del data
            with atomic_path(path, overwrite=True) as temporary:
                np.savez(temporary, lengths=lengths, levels=levels)
        with np.load(path, allow_pickle=False) as facts:
            lengths, levels = facts["lengths"], facts["levels"]
        floor_db = float(10 * np.log10(front_end.amin))
        return cls(np.load(data_path, mmap_mode="r", allow_pickle=False), lengths, levels, floor_db)

    def frames(self, index: int, start: int = 0, count: int | None = None) -> Tensor:
        """Up to `count` frames of a clip from `start` on: float32 (n_mels, frames) in dB."""
        first, last = self.starts[index], self.starts[index + 1]
        stop = last if count is None else min(last, first + start + count)
        return torch.from_numpy(self.data[first + min(start, last - first) : stop].astype(np.float32)).T

    def starts_of_crops(self, indices: list[int], counts: list[int], generator: Generator | None = None) -> list[int]:
        """The first frame of a crop of each clip, at random or centred; 0 for clips that are shorter than it."""
        spare = [max(0, int(self.lengths[index]) - count) for index, count in zip(indices, counts, strict=True)]
        if generator is None:
            return [each // 2 for each in spare]
        return [int(torch.randint(each + 1, (), generator=generator)) for each in spare]

    def crops(self, indices: list[int], counts: list[int], starts: list[int]) -> list[Tensor]:
        """A crop (n_mels, count) of each clip from its start on; short ones are repeated, then padded with silence.

        As in `repeat_pad`, a clip is repeated as often as it fits whole.
        """
        rows = []
        for index, count, start in zip(indices, counts, starts, strict=True):
            crop = self.frames(index, start, count)
            # all but the last frame, which is centred on the end of the clip
            times = max(1, count // max(1, crop.shape[1] - 1)) if crop.shape[1] < count else 1
            tiled = crop if times == 1 else torch.cat([crop[:, :-1]] * (times - 1) + [crop], 1)[:, :count]
            rows.append(torch.nn.functional.pad(tiled, (0, count - tiled.shape[1]), value=self.floor_db))
        return rows


def level_db(log_mel: Tensor) -> float:
    """Mean power in dB of the frames (frames, n_mels) that are not silent, summed over bands."""
    power = (10 ** (log_mel / 10)).sum(1)
    return float(10 * power[power >= SILENT_FRAMES * power.max()].mean().log10())
