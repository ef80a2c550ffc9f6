"""Clips to train and test on: a manifest that lists them, and a cache that decodes each of them once.

A manifest is a file of JSON lines, one clip a line; `Clip` says which keys are known, others are kept in `extra`.
The cache is a folder of packs: `samples.int16` (all clips end to end) with `index.json` (which clip lies where). A pack
holds clips by the identity of their files (path, size, time of change, rate), so a subset of a cached corpus, or the
corpus with some clips added, decodes only what is new; a build that was killed goes on at the pack it had reached.
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
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from clapgen.audio import read_audio
from clapgen.errors import ClapgenError
from clapgen.files import atomic_path

logger = logging.getLogger(__name__)

CLIPS_PER_PACK = 4096
INT16_SCALE = 32767.0


@dataclass(frozen=True)
class Clip:
    """One audio file with what is known about it.

    `recording` names what the clip was cut from (clips of one recording are near-duplicates), `free` says whether the
    clip's own licence allows commercial use, `extra` holds every other key of the manifest's line.
    """

    path: Path
    captions: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    recording: str | None = None
    licence: str | None = None
    split: str | None = None
    free: bool | None = None
    extra: dict[str, Any] = field(default_factory=dict)


_LISTS = ("captions", "labels")
_OPTIONAL: dict[str, type] = {"recording": str, "licence": str, "split": str, "free": bool}


def read_manifest(path: str | Path) -> list[Clip]:
    """Read a manifest; relative paths in it are relative to its folder.

    The clips' files are not opened here: `AudioCache.build` names those that are missing or broken.

    Raises:
        ClapgenError: the manifest cannot be read, is empty, or a line is not a clip (named as file:line).
    """
    path = Path(path)
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise ClapgenError(f"cannot read the manifest {path}: {error.strerror or error}") from error
    folder = path.parent.absolute()
    clips = [_parse_line(line, folder, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not clips:
        raise ClapgenError(f"the manifest {path} lists no clips; it needs one JSON object a line")
    return clips


def training_clips(manifest: str | Path, split: str = "train", free_only: bool = False) -> list[Clip]:
    """The clips of a manifest to train on: those of `split` and those that name none, all or only the free ones.

    Raises:
        ClapgenError: there are none.
    """
    clips = [clip for clip in read_manifest(manifest) if clip.split in (None, split)]
    chosen = [clip for clip in clips if clip.free or not free_only]
    if chosen:
        return chosen
    if clips:
        raise ClapgenError(
            f'{manifest} has no clip of split "{split}" with "free": true to train on; say in the manifest which clips '
            "are free, or set free_only=false to train on all."
        )
    raise ClapgenError(f'{manifest} has no clip of split "{split}" to train on; set another split.')


def held_out_clips(manifest: str | Path, split: str = "val") -> list[Clip]:
    """The clips of a manifest to measure on: those that name `split`; there may be none."""
    return [clip for clip in read_manifest(manifest) if clip.split == split]


def _parse_line(line: bytes, folder: Path, where: str) -> Clip:
    try:
        fields = json.loads(line)
    except ValueError as error:  # also what is not UTF-8
        raise ClapgenError(f"{where}: not a line of JSON ({error})") from error
    if not isinstance(fields, dict):
        raise ClapgenError(f"{where}: a clip is a JSON object, this is {line[:40]!r}")
    audio = fields.pop("path", None)
    if not isinstance(audio, str) or not audio or "\0" in audio:
        raise ClapgenError(f'{where}: "path" must name an audio file')
    known: dict[str, Any] = {}
    for key in _LISTS:
        texts = fields.pop(key, None)
        known[key] = [] if texts is None else texts
        if not isinstance(known[key], list) or not all(isinstance(text, str) for text in known[key]):
            raise ClapgenError(f'{where}: "{key}" must be a list of strings')
    for key, kind in _OPTIONAL.items():
        known[key] = fields.pop(key, None)
        if not isinstance(known[key], kind | None):
            raise ClapgenError(f'{where}: "{key}" must be a {kind.__name__} or null')
    return Clip(folder / audio, **known, extra=fields)


def save_manifest(clips: Iterable[Clip], path: str | Path, overwrite: bool = False) -> int:
    """Write clips as a manifest that `read_manifest` reads; give back how many.

    Paths below the manifest's folder are written relative to it, so that the folder can be moved.

    Raises:
        ClapgenError: the manifest exists and `overwrite` is false, or cannot be written.
    """
    path = Path(path)
    folder = path.parent.absolute()
    count = 0
    with atomic_path(path, overwrite=overwrite) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for clip in clips:
            count += 1
            audio = clip.path.absolute()
            path_in_file = str(audio.relative_to(folder) if audio.is_relative_to(folder) else audio)
            known = {key: getattr(clip, key) for key in (*_LISTS, *_OPTIONAL) if getattr(clip, key) not in (None, [])}
            line = {"path": path_in_file, **known}
            file.write(
                json.dumps(line | clip.extra | line, ensure_ascii=False) + "\n"
            )  # known keys first, and they win
    return count


class AudioCache:
    """Clips decoded to mono at one sample rate, on disk, read by memory map.

    `clips[i]` is what `waveform(i)` sounds like, `lengths[i]` its samples; clips that could not be decoded are left out
    of both and named in `skipped` (path -> reason). Made by `AudioCache.build`.
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
        """Decode and resample what the folder does not hold yet, and open it.

        The folder grows by packs written under a temporary name and renamed when whole, so that a killed build leaves
        nothing that could be mistaken for data and several processes may share a folder.

        Raises:
            ClapgenError: the folder cannot be written, no clip at all could be decoded, or (`strict`) one could not.
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
            logger.warning("%d of %d clips could not be decoded and are left out", len(skipped), len(clips))
        return cls(good, spans, sample_rate, skipped)

    def __len__(self) -> int:
        return len(self.clips)

    def waveform(self, index: int) -> np.ndarray:
        """The whole clip: float32 `(samples,)` in [-1, 1]."""
        return self.crop(index, 0, int(self.lengths[index]))

    def crop(self, index: int, start: int, length: int) -> np.ndarray:
        """`length` samples from sample `start` on, fewer where the clip ends: float32 `(samples,)`."""
        if start < 0 or length < 0:
            raise ValueError(f"start and length are counts of samples, not {start} and {length}")
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
    """Every pack of a cache folder: identity -> where its samples lie, or why there are none."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.entries: dict[str, tuple[np.ndarray, int, int] | str] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ClapgenError(f"cannot make the cache folder {folder}: {error.strerror or error}") from error
        for pack in sorted(folder.glob("pack-*")):
            self._load(pack)

    def _load(self, pack: Path) -> None:
        try:
            index = json.loads((pack / "index.json").read_text())
            size = (pack / "samples.int16").stat().st_size // 2
            samples = np.memmap(pack / "samples.int16", np.int16, "r") if size else np.empty(0, np.int16)
        except (OSError, ValueError) as error:
            raise ClapgenError(f"the cache pack {pack} is broken ({error}); delete it, it is made again") from error
        if size != index["samples"]:
            raise ClapgenError(f"the cache pack {pack} is truncated; delete it, it is made again")
        self.entries |= {key: (samples, *span) for key, span in index["clips"].items()}
        self.entries |= index["skipped"]

    def add(
        self, missing: dict[str, Path], sample_rate: int, workers: int, strict: bool, advance: Callable[[], None]
    ) -> None:
        """Decode files (by identity) into a new pack; `advance` is called after each."""
        building = self.folder / f".building-{secrets.token_hex(8)}"
        try:
            building.mkdir()
            _write_pack(missing, sample_rate, building, workers, strict, advance)
            target = self.folder / f"pack-{hashlib.sha256(''.join(missing).encode()).hexdigest()[:24]}"
            try:
                os.rename(building, target)
            except OSError:
                if not target.is_dir():
                    raise  # else another process made the same pack first: take that one
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
        # a few clips a worker at a time: decoded audio never piles up in memory
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
