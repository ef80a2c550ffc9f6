"""A cache on disk of decoded training clips.

The cache is a folder of packs: `samples.int16` (all clips end to end) and `index.json` (the position of each clip). A
clip is identified by its file (path, size, modification time) and sample rate, so that only new or changed files are
decoded. A killed build continues after its last complete pack.

One process at a time decodes into a folder; others wait for it, then find its packs. What cannot be decoded is
remembered too, but only if the content is to blame: a file that cannot be read at all is tried again at every build.
"""

import hashlib
import itertools
import json
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path

import numpy as np

from clapgen import __version__
from clapgen.audio import read_audio
from clapgen.data.manifest import Clip
from clapgen.errors import ClapgenError
from clapgen.files import exclusive_lock
from clapgen.terminal import progress as progress_bar

logger = logging.getLogger(__name__)

CLIPS_PER_PACK = 4096
INT16_SCALE = 32767.0
DECODING_VERSION = 2  # raise it when the same file gives other samples than before


class AudioCache:
    """Clips decoded to mono at one sample rate, on disk, read by memory map.

    `clips[i]` describes `waveform(i)`, which has `lengths[i]` samples; `identities[i]` changes with its file. Clips
    that could not be decoded are left out; `skipped` maps their paths to the reasons. Create it with `build`.
    """

    def __init__(
        self,
        clips: list[Clip],
        identities: list[str],
        spans: list[tuple[np.ndarray, int, int]],
        sample_rate: int,
        skipped: dict[Path, str],
    ):
        self.clips = clips
        self.identities = identities
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
        workers: int | None = None,
        progress: bool = True,
        strict: bool = False,
    ) -> "AudioCache":
        """Decode and resample clips that are not in the folder yet, and open it.

        Packs are written under a temporary name and renamed when complete, so that a killed build leaves no partial
        data and several processes can share a folder. A folder that holds all clips may be read-only.

        Args:
            workers: threads that decode; one for each CPU by default.

        Raises:
            ClapgenError: the folder cannot be written, no clip could be decoded, or (with `strict`) one could not.
        """
        folder = Path(folder)
        identities = [_identity(clip.path, sample_rate) for clip in clips]
        paths = {identity: clip.path for identity, clip in zip(identities, clips, strict=True)}
        packs = _Packs(folder)
        if paths.keys() - packs.entries.keys():
            with packs.lock():
                packs.load()  # what another process has decoded in the meantime
                missing = {identity: path for identity, path in paths.items() if identity not in packs.entries}
                with _counted(len(missing), progress) as advance:
                    for part in _batches(missing.items(), CLIPS_PER_PACK):
                        packs.add(dict(part), sample_rate, workers or cpu_count(), strict, advance)
        return cls._open(clips, identities, packs, sample_rate, strict)

    @classmethod
    def _open(
        cls, clips: Sequence[Clip], identities: list[str], packs: "_Packs", sample_rate: int, strict: bool
    ) -> "AudioCache":
        good, kept, spans, skipped = [], [], [], {}
        for clip, identity in zip(clips, identities, strict=True):
            span = packs.entries[identity]
            if isinstance(span, str):
                skipped[clip.path] = span
            else:
                good.append(clip)
                kept.append(identity)
                spans.append(span)
        if skipped and (strict or not good):
            raise ClapgenError(next(iter(skipped.values())))
        for reason in list(skipped.values())[:20]:
            logger.warning("skipped: %s", reason)
        if skipped:
            logger.warning("%d of %d clips could not be decoded and were skipped", len(skipped), len(clips))
        return cls(good, kept, spans, sample_rate, skipped)

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
    return hashlib.sha256(
        f"{DECODING_VERSION}|{sample_rate}|{path.absolute()}|{state}".encode(errors="surrogateescape")
    ).hexdigest()[:24]


class _Packs:
    """All packs of a cache folder: identity -> position of its samples, or the reason why there are none."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.entries: dict[str, tuple[np.ndarray, int, int] | str] = {}
        self._loaded: set[Path] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ClapgenError(f"cannot create the cache folder {folder}: {error.strerror or error}") from error
        self.load()

    def load(self) -> None:
        """Open all packs that are not open yet."""
        for pack in sorted(set(self.folder.glob("pack-*")) - self._loaded):
            self._load(pack)

    def _load(self, pack: Path) -> None:
        self._loaded.add(pack)
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
        if index.get("version") == __version__:  # another version may decode what this one cannot
            self.entries = index["skipped"] | self.entries
        self.entries |= {key: (samples, *span) for key, span in index["clips"].items()}

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only process that writes to the folder, and remove what killed ones left there."""

        def busy(holder: str) -> None:
            logger.warning("waiting for %s, which decodes into %s", holder, self.folder)

        try:
            with exclusive_lock(self.folder / ".lock", busy) as locked:
                for debris in self.folder.glob(".building-*") if locked else ():
                    shutil.rmtree(debris, ignore_errors=True)
                yield
        except OSError as error:
            raise ClapgenError(f"cannot write the cache folder {self.folder}: {error.strerror or error}") from error

    def add(
        self, missing: dict[str, Path], sample_rate: int, workers: int, strict: bool, advance: Callable[[], None]
    ) -> None:
        """Decode files (by identity) into a new pack; `advance` is called after each file."""
        name = secrets.token_hex(12)
        building, target = self.folder / f".building-{name}", self.folder / f"pack-{name}"
        try:
            building.mkdir()
            unreadable = _write_pack(missing, sample_rate, building, workers, strict, advance)
            if len(unreadable) < len(missing):
                building.rename(target)
                self._load(target)
            self.entries |= unreadable
        finally:
            shutil.rmtree(building, ignore_errors=True)


def _write_pack(
    missing: dict[str, Path], sample_rate: int, building: Path, workers: int, strict: bool, advance: Callable[[], None]
) -> dict[str, str]:
    """Write a pack of all files that can be read; the reason for each of the others, by identity."""
    clips: dict[str, tuple[int, int]] = {}
    skipped: dict[str, str] = {}
    unreadable: dict[str, str] = {}
    position = 0
    with open(building / "samples.int16", "wb") as file, ThreadPoolExecutor(workers) as pool:
        # a few clips per worker at a time, to limit the decoded audio in memory
        for batch in _batches(missing.items(), 4 * workers):
            decoded = pool.map(lambda path: _decode(path, sample_rate), [path for _, path in batch])
            for (identity, path), (samples, reason) in zip(batch, decoded, strict=True):
                if samples is None and strict:
                    raise ClapgenError(reason)
                if samples is not None:
                    file.write(samples.tobytes())
                    clips[identity] = (position, len(samples))
                    position += len(samples)
                elif _is_readable(path):
                    skipped[identity] = reason
                else:
                    unreadable[identity] = reason
                advance()
    index = {"version": __version__, "samples": position, "clips": clips, "skipped": skipped}
    (building / "index.json").write_text(json.dumps(index))
    return unreadable


def _decode(path: Path, sample_rate: int) -> tuple[np.ndarray | None, str]:
    """Samples as int16, or the reason why there are none. Decodes twice before it blames a file that can be read."""
    reason = ""
    for _ in range(2):
        try:
            waveform, _ = read_audio(path, sample_rate)
            return np.round(np.clip(waveform, -1, 1) * INT16_SCALE).astype(np.int16), ""
        except ClapgenError as error:
            reason = str(error)
        if not _is_readable(path):
            break
    return None, reason


def _is_readable(path: Path) -> bool:
    """Whether all bytes of the file can be read now: no missing file, no permission denied, no failing disk."""
    try:
        with open(path, "rb") as file:
            while file.read(1 << 20):
                pass
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return False
    return True


def cpu_count() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _batches(items: Iterable[tuple[str, Path]], size: int) -> Iterator[list[tuple[str, Path]]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


@contextmanager
def _counted(total: int, shown: bool) -> Iterator[Callable[[], None]]:
    """A function that counts one more clip on a progress bar."""
    done = itertools.count(1)
    with progress_bar(total, "clips") if shown and total else nullcontext(lambda count, what: None) as update:
        yield lambda: update(next(done), "Decoding")
