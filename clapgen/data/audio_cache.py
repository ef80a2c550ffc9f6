"""A cache on disk of decoded training clips.

The cache is a folder of packs: `samples.int16` (all clips end to end) and `index.json` (the position of each clip). A
clip is identified by its file (path, size, modification time) and sample rate, so that only new or changed files are
decoded. A killed build continues after its last complete pack.
"""

import hashlib
import json
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np

from clapgen.audio import read_audio
from clapgen.data.manifest import Clip
from clapgen.errors import ClapgenError

logger = logging.getLogger(__name__)

CLIPS_PER_PACK = 4096
INT16_SCALE = 32767.0


class AudioCache:
    """Clips decoded to mono at one sample rate, on disk, read by memory map.

    `clips[i]` describes `waveform(i)`, which has `lengths[i]` samples. Clips that could not be decoded are left
    out; `skipped` maps their paths to the reasons. Create it with `AudioCache.build`.
    """

    def __init__(
        self, clips: list[Clip], spans: list[tuple[np.ndarray, int, int]], sample_rate: int, skipped: dict[Path, str]
    ):
        self.clips = clips
        self.sample_rate = sample_rate
        self.skipped = skipped
        self.lengths = np.array([length for _, _, length in spans], dtype=np.int64)
        self._spans = spans

    @classmethod
    def build(
        cls,
        clips: Sequence[Clip],
        sample_rate: int,
        folder: str | Path,
        workers: int = 2,
        progress: bool = True,
        strict: bool = False,
    ) -> "AudioCache":
        """Decode and resample clips that are not in the folder yet, and open it.

        Packs are written under a temporary name and renamed when complete, so that a killed build leaves no partial
        data and several processes can share a folder.

        Raises:
            ClapgenError: the folder cannot be written, no clip could be decoded, or (with `strict`) one could not.
        """
        folder = Path(folder)
        identities = [_identity(clip.path, sample_rate) for clip in clips]
        packs = _Packs(folder)
        missing = {key: clip.path for key, clip in zip(identities, clips, strict=True) if key not in packs.entries}
        with _progress(len(missing), progress and bool(missing)) as advance:
            for part in _batches(missing.items(), CLIPS_PER_PACK):
                packs.add(dict(part), sample_rate, workers, strict, advance)
        return cls._open(clips, identities, packs, sample_rate, strict)

    @classmethod
    def _open(
        cls, clips: Sequence[Clip], identities: list[str], packs: "_Packs", sample_rate: int, strict: bool
    ) -> "AudioCache":
        good, spans, skipped = [], [], {}
        for clip, identity in zip(clips, identities, strict=True):
            span = packs.entries[identity]
            if isinstance(span, str):
                skipped[clip.path] = span
            else:
                good.append(clip)
                spans.append(span)
        if skipped and (strict or not good):
            raise ClapgenError(next(iter(skipped.values())))
        for reason in list(skipped.values())[:20]:
            logger.warning("skipped: %s", reason)
        if skipped:
            logger.warning("%d of %d clips could not be decoded and were skipped", len(skipped), len(clips))
        return cls(good, spans, sample_rate, skipped)

    def __len__(self) -> int:
        return len(self.clips)

    def waveform(self, index: int) -> np.ndarray:
        """The whole clip: float32 `(samples,)` in [-1, 1]."""
        return self.crop(index, 0, int(self.lengths[index]))

    def crop(self, index: int, start: int, length: int) -> np.ndarray:
        """Up to `length` samples from sample `start`, fewer at the end of the clip: float32 `(samples,)`."""
        if start < 0 or length < 0:
            raise ValueError(f"start and length must not be negative, got {start} and {length}")
        pack, offset, total = self._spans[index]
        stored = pack[offset + min(start, total) : offset + min(start + length, total)]
        return stored.astype(np.float32) / np.float32(INT16_SCALE)


def _identity(path: Path, sample_rate: int) -> str:
    try:
        status = path.stat()
        state = f"{status.st_size}|{status.st_mtime_ns}"
    except (OSError, ValueError):
        state = "missing"
    return hashlib.sha256(f"{sample_rate}|{path.absolute()}|{state}".encode(errors="surrogateescape")).hexdigest()[:24]


class _Packs:
    """All packs of a cache folder: identity -> position of its samples, or the reason why there are none."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.entries: dict[str, tuple[np.ndarray, int, int] | str] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ClapgenError(f"cannot create the cache folder {folder}: {error.strerror or error}") from error
        for pack in sorted(folder.glob("pack-*")):
            self._load(pack)

    def _load(self, pack: Path) -> None:
        try:
            index = json.loads((pack / "index.json").read_text())
            size = (pack / "samples.int16").stat().st_size // 2
            samples = np.memmap(pack / "samples.int16", np.int16, "r") if size else np.empty(0, np.int16)
        except (OSError, ValueError) as error:
            raise ClapgenError(
                f"the cache pack {pack} is damaged ({error}); delete it to decode its clips again"
            ) from error
        if size != index["samples"]:
            raise ClapgenError(f"the cache pack {pack} is truncated; delete it to decode its clips again")
        self.entries |= {key: (samples, *span) for key, span in index["clips"].items()}
        self.entries |= index["skipped"]

    def add(
        self, missing: dict[str, Path], sample_rate: int, workers: int, strict: bool, advance: Callable[[], None]
    ) -> None:
        """Decode files (by identity) into a new pack; `advance` is called after each file."""
        building = self.folder / f".building-{secrets.token_hex(8)}"
        try:
            building.mkdir()
            _write_pack(missing, sample_rate, building, workers, strict, advance)
            target = self.folder / f"pack-{hashlib.sha256(''.join(missing).encode()).hexdigest()[:24]}"
            try:
                os.rename(building, target)
            except OSError:
                if not target.is_dir():
                    raise  # otherwise another process wrote the same pack first
            self._load(target)
        except OSError as error:
            raise ClapgenError(f"cannot write the cache folder {self.folder}: {error.strerror or error}") from error
        finally:
            shutil.rmtree(building, ignore_errors=True)


def _write_pack(
    missing: dict[str, Path], sample_rate: int, building: Path, workers: int, strict: bool, advance: Callable[[], None]
) -> None:
    def decode(path: Path) -> np.ndarray | str:
        try:
            waveform, _ = read_audio(path, sample_rate)
        except ClapgenError as error:
            if strict:
                raise
            return str(error)
        return np.round(np.clip(waveform, -1, 1) * INT16_SCALE).astype(np.int16)

    clips: dict[str, tuple[int, int]] = {}
    skipped: dict[str, str] = {}
    position = 0
    with open(building / "samples.int16", "wb") as file, ThreadPoolExecutor(workers) as pool:
        # a few clips per worker at a time, to limit the decoded audio in memory
        for batch in _batches(missing.items(), 4 * workers):
            for (identity, _), result in zip(batch, pool.map(decode, [path for _, path in batch]), strict=True):
                if isinstance(result, str):
                    skipped[identity] = result
                else:
                    file.write(result.tobytes())
                    clips[identity] = (position, len(result))
                    position += len(result)
                advance()
    (building / "index.json").write_text(json.dumps({"samples": position, "clips": clips, "skipped": skipped}))


def _batches(items: Iterable[tuple[str, Path]], size: int) -> Iterator[list[tuple[str, Path]]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


@contextmanager
def _progress(total: int, shown: bool) -> Iterator[Callable[[], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("decoding"), BarColumn(), MofNCompleteColumn(), TextColumn("clips"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as bar:
        task = bar.add_task("decoding", total=total)
        yield lambda: bar.advance(task)
