"""Embeddings of many sound files: decoded ahead in threads, and cached so that no file is embedded twice.

The cache key is the file's content, the embedder (weights, window policy, sample rate), the kind of device and the
version of this code, never the file's name.
"""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from clapgen.audio import read_audio, resample
from clapgen.audio.batches import batches_of_sounds
from clapgen.embedders import BROKEN_MODEL, device_type, display_name, identity_of
from clapgen.embedders.file_identity import SoundFile, cache_key, identify_files, worker_count
from clapgen.embedders.store import CacheFolder, Store
from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    from torch import Tensor

    from clapgen.embedders import Embedder

EMBEDDING_VERSION = 2  # raise it when the same file and embedder give another embedding than before
DEFAULT_LIMIT_BYTES = 2 * 10**9
CLIPS_PER_BATCH = 8

Array = npt.NDArray[np.float32]
Facts = dict[str, Any]
Inspect = Callable[[Array, int], Facts]
Advance = Callable[[int], None]


def default_cache_folder() -> Path:
    """The folder in CLAPGEN_CACHE, or else `clapgen` in the user's cache folder."""
    if named := os.environ.get("CLAPGEN_CACHE"):
        return Path(named).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "clapgen" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "clapgen"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clapgen"


class EmbeddingCache(CacheFolder):
    """The embedding cache in `folder` (`default_cache_folder()` if None), at most `limit_bytes` on disk."""

    def __init__(self, folder: str | Path | None = None, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        super().__init__(default_cache_folder() if folder is None else folder, limit_bytes)


@dataclass
class Embedded:
    """Embeddings of the files that could be read, in the order given, and why the others could not be read.

    Attributes:
        embeddings: (n, dim) float32.
        digests: sha256 of each file's content.
        facts: what `inspect` returned for each file; empty without `inspect`.
        frames: (frames, dim) float32 for each file; empty unless asked for.
    """

    paths: list[Path]
    embeddings: Array = field(repr=False)
    digests: list[str] = field(repr=False)
    skipped: list[tuple[Path, str]]
    facts: list[Facts] = field(default_factory=list, repr=False)
    frames: list[Array] = field(default_factory=list, repr=False)


def embed_files(
    files: Sequence[str | Path | SoundFile],
    embedder: Embedder,
    cache: Store | None = None,
    *,
    frames: bool = False,
    band_limit: int | None = None,
    inspect: Inspect | None = None,
    strict: bool = False,
    advance: Advance | None = None,
) -> Embedded:
    """Embed whole files, each with the embedder's window policy; in float32, even under autocast.

    Each file is decoded at most once, whether its embedding, its frames or facts about its waveform are wanted.

    Args:
        files: sound files; a file given twice appears twice. A `SoundFile` is not hashed again.
        embedder: `Clap`, or what `load_embedder` gives.
        cache: where embeddings are looked up and stored; not used for an embedder without a hash.
        frames: also embed the frames of each file.
        band_limit: sample rate (Hz) that files are first downsampled to, to make sets of different rates comparable.
        inspect: called with each clip's mono waveform at the file's own sample rate, and that rate; what it returns
            (JSON) is in `facts`, and cached too. It must be defined at module level.
        strict: raise an error for the first file that cannot be read, instead of skipping it.
        advance: called with the number of files just done.

    Raises:
        ClapgenError: no file could be read (or, `strict`, one could not), or the embedder gives NaN, which is named.
    """
    identified, skipped = identify_files(files, cache, strict=strict)
    work = _Work(embedder, cache, band_limit, inspect, strict, frames)
    done = work.run(identified, skipped, advance or (lambda count: None))
    good = [file for file in identified if file.digest in done]
    if not good and skipped:
        more = f" (and {len(skipped) - 1} more files)" if len(skipped) > 1 else ""
        raise ClapgenError(f"no file could be read: {skipped[0][1]}{more}")
    rows = [done[file.digest]["clip"][0] for file in good]
    return Embedded(
        paths=[file.path for file in good],
        embeddings=np.stack(rows) if rows else np.zeros((0, embedder.dim), dtype=np.float32),
        digests=[file.digest for file in good],
        skipped=skipped,
        facts=[done[file.digest]["facts"] for file in good] if inspect else [],
        frames=[done[file.digest]["frames"] for file in good] if frames else [],
    )


Results = dict[str, Any]  # of one file: "clip" (1, dim), "frames" (frames, dim), "facts" (JSON)


@dataclass
class _Decoded:
    file: SoundFile
    waveform: Array  # at the embedder's rate
    facts: Facts


@dataclass
class _Work:
    """What to compute for each file, and the cache keys of the results."""

    embedder: Embedder
    cache: Store | None
    band_limit: int | None
    inspect: Inspect | None
    strict: bool
    frames: bool

    def run(self, files: Sequence[SoundFile], skipped: list[tuple[Path, str]], advance: Advance) -> dict[str, Results]:
        """Results by digest. Files that cannot be decoded are added to `skipped`."""
        by_digest: dict[str, SoundFile] = {}  # copies of a file are embedded once
        for file in files:
            by_digest.setdefault(file.digest, file)
        known = self._known(list(by_digest))
        missing = [file for digest, file in by_digest.items() if len(known[digest]) < len(self._kinds)]
        advance(len(skipped) + len(files) - len(missing))
        broken: dict[str, str] = {}
        decoded, rate = self._decoded(missing, broken), self.embedder.sample_rate
        for batch in batches_of_sounds(decoded, CLIPS_PER_BATCH, lambda clip: len(clip.waveform), rate):
            results = self._embed(batch, known)
            self._keep(results)
            for digest, result in results.items():
                known[digest] |= result
            advance(len(batch))
        advance(len(broken))
        for file in files:
            if file.digest in broken:
                skipped.append(
                    (file.path, broken[file.digest].replace(str(by_digest[file.digest].path), str(file.path)))
                )
        return {digest: result for digest, result in known.items() if digest not in broken}

    def _known(self, digests: Sequence[str]) -> dict[str, Results]:
        results: dict[str, Results] = {digest: {} for digest in digests}
        if not self._cache:
            return results
        keys = {(digest, kind): self._key(kind, digest) for digest in digests for kind in self._kinds}
        found = self._cache.get(list(keys.values()))
        for (digest, kind), key in keys.items():
            if key not in found:
                continue
            if kind == "facts":
                results[digest][kind] = json.loads(found[key])
            else:
                values = np.frombuffer(found[key], dtype="<f4").astype(np.float32)
                results[digest][kind] = values.reshape(-1, self.embedder.dim)
        return results

    def _keep(self, results: dict[str, Results]) -> None:
        if not self._cache:
            return
        self._cache.put(
            {
                self._key(kind, digest): (
                    json.dumps(value).encode() if kind == "facts" else value.astype("<f4").tobytes()
                )
                for digest, result in results.items()
                for kind, value in result.items()
            }
        )

    @property
    def _cache(self) -> Store | None:
        return self.cache if self.embedder.hash else None

    def _key(self, kind: str, digest: str) -> bytes:
        return cache_key(self._kinds[kind], [digest])

    @cached_property
    def _kinds(self) -> dict[str, str]:
        """The wanted kinds of results, each with a hash of everything but the file's content that decides them."""
        limit = None if self.band_limit is None or self.band_limit >= self.embedder.sample_rate else self.band_limit
        kinds = {}
        for kind in ("clip", "frames") if self.frames else ("clip",):
            kinds[kind] = cache_key(kind, [identity_of(self.embedder), limit, EMBEDDING_VERSION]).hex()
        if self.inspect:
            inspect = f"{self.inspect.__module__}.{self.inspect.__qualname__}"
            kinds["facts"] = cache_key("facts", [inspect, EMBEDDING_VERSION]).hex()
        return kinds

    def _decode(self, file: SoundFile) -> _Decoded:
        waveform, rate = read_audio(file.path)
        file.check_unchanged()
        facts = self.inspect(waveform, rate) if self.inspect else {}
        if self.band_limit is not None and self.band_limit < min(rate, self.embedder.sample_rate):
            waveform, rate = resample(waveform, rate, self.band_limit), self.band_limit
        waveform = resample(waveform, rate, self.embedder.sample_rate)
        if not waveform.size:
            raise ClapgenError(f"{file.path} is too short: it has no samples at {self.embedder.sample_rate} Hz.")
        return _Decoded(file, waveform, facts)

    def _decoded(self, files: Iterable[SoundFile], broken: dict[str, str]) -> Iterator[_Decoded]:
        """Decode a few batches ahead of the embedder, so that neither waits and memory stays bounded."""
        waiting: deque[tuple[SoundFile, Future[_Decoded]]] = deque()
        remaining = iter(files)
        with ThreadPoolExecutor(worker_count()) as pool:
            try:
                while True:
                    while len(waiting) < 2 * CLIPS_PER_BATCH and (file := next(remaining, None)):
                        waiting.append((file, pool.submit(self._decode, file)))
                    if not waiting:
                        return
                    file, future = waiting.popleft()
                    try:
                        decoded = future.result()
                    except ClapgenError as error:
                        if self.strict:
                            raise
                        broken[file.digest] = str(error)
                        continue
                    yield decoded
            finally:
                pool.shutdown(cancel_futures=True)

    def _embed(self, batch: list[_Decoded], known: dict[str, Results]) -> dict[str, Results]:
        """The results of a batch that were not in the cache."""
        import torch

        rate = self.embedder.sample_rate
        results: dict[str, Results] = {
            clip.file.digest: {"facts": clip.facts} if self.inspect else {} for clip in batch
        }
        lacking = {kind: [clip for clip in batch if kind not in known[clip.file.digest]] for kind in self._kinds}
        with torch.no_grad(), torch.autocast(device_type(self.embedder), enabled=False):
            if clips := lacking["clip"]:
                table = self.embedder.embed_audio([clip.waveform for clip in clips], rate)[:, None]
                for clip, row in zip(clips, table, strict=True):
                    results[clip.file.digest]["clip"] = self._finite(row, clip)
            for clip in lacking.get("frames", []):
                frames = self.embedder.embed_frames(clip.waveform, rate)
                results[clip.file.digest]["frames"] = self._finite(frames, clip)
        return results

    def _finite(self, table: Tensor, clip: _Decoded) -> Array:
        values = table.float().cpu().numpy()
        if not np.isfinite(values).all():
            raise ClapgenError(
                f"the model {display_name(self.embedder)} gives NaN or infinity for {clip.file.path}. {BROKEN_MODEL}"
            )
        return values
