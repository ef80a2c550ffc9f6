"""Embeddings of many sound files: decoded ahead in threads, and kept in a cache so that no file is embedded twice.

An embedding is kept under the file's content, the embedder (weights, window policy, rate), the kind of device and the
version of this code; never under a file's name.
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
from clapgen.embedders.store import CacheFolder
from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    from clapgen.embedders import Embedder

EMBEDDING_VERSION = 1  # to be raised when the same file and embedder give another embedding than before
DEFAULT_LIMIT_BYTES = 2 * 10**9
CLIPS_PER_BATCH = 8

Array = npt.NDArray[np.float32]
Facts = dict[str, Any]
Inspect = Callable[[Array, int], Facts]
Advance = Callable[[int], None]


def default_cache_folder() -> Path:
    """Where embeddings are kept: the folder that CLAPGEN_CACHE names, else `clapgen` among the user's caches."""
    if named := os.environ.get("CLAPGEN_CACHE"):
        return Path(named).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "clapgen" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "clapgen"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clapgen"


class EmbeddingCache(CacheFolder):
    """The cache of embeddings in `folder` (`default_cache_folder()` if None), at most `limit_bytes` on disk."""

    def __init__(self, folder: str | Path | None = None, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        super().__init__(default_cache_folder() if folder is None else folder, limit_bytes)


@dataclass
class Embedded:
    """Embeddings of the files that could be read, in the order given, and why the others could not.

    `embeddings` is (n, dim) float32, `digests` the sha256 of each file's content, `facts` what `inspect` said of it.
    """

    paths: list[Path]
    embeddings: Array = field(repr=False)
    digests: list[str] = field(repr=False)
    skipped: list[tuple[Path, str]]
    facts: list[Facts] = field(default_factory=list, repr=False)


def embed_files(
    paths: Sequence[str | Path],
    embedder: Embedder,
    cache: EmbeddingCache | None = None,
    *,
    band_limit: int | None = None,
    inspect: Inspect | None = None,
    strict: bool = False,
    advance: Advance | None = None,
) -> Embedded:
    """Embed whole files, each by its window policy; always float32, whatever autocast is on around it.

    Args:
        paths: sound files; one that is given twice is there twice.
        embedder: `Clap`, or what `load_embedder` gives.
        cache: where embeddings are looked up and kept; nothing is kept of an embedder without a hash.
        band_limit: sample rate in Hz to which each file is brought down first, so that sets of different rates compare.
        inspect: called with each clip's mono waveform at the file's own rate, and that rate; what it returns (JSON) is
            in `facts` and kept as well. A function at the top of a module.
        strict: raise on the first file that cannot be read, instead of leaving it out.
        advance: called with how many more files are done.

    Raises:
        ClapgenError: no file could be read (or, `strict`, one could not), or the embedder gives NaN, which is named.
    """
    files, skipped = identify_files(paths, cache, strict=strict)
    work = _Work(embedder, cache, band_limit, inspect, strict, frames=False)
    done = work.run(files, skipped, advance or (lambda count: None))
    good = [file for file in files if file.digest in done]
    if not good and skipped:
        more = f" (and {len(skipped) - 1} more files)" if len(skipped) > 1 else ""
        raise ClapgenError(f"no file could be read: {skipped[0][1]}{more}")
    rows = [done[file.digest].embeddings[0] for file in good]
    return Embedded(
        paths=[file.path for file in good],
        embeddings=np.stack(rows) if rows else np.zeros((0, embedder.dim), dtype=np.float32),
        digests=[file.digest for file in good],
        skipped=skipped,
        facts=[done[file.digest].facts for file in good],
    )


def embed_frames(
    paths: Sequence[str | Path],
    embedder: Embedder,
    cache: EmbeddingCache | None = None,
    *,
    band_limit: int | None = None,
    advance: Advance | None = None,
) -> dict[Path, Array]:
    """Frame embeddings (frames, dim) of each file that can be read; otherwise as `embed_files`."""
    files, skipped = identify_files(paths, cache)
    done = _Work(embedder, cache, band_limit, None, False, frames=True).run(files, skipped, advance or (lambda _: None))
    return {file.path: done[file.digest].embeddings for file in files if file.digest in done}


@dataclass
class _Done:
    embeddings: Array  # (1, dim) of a clip, (frames, dim) of its frames
    facts: Facts


@dataclass
class _Decoded:
    file: SoundFile
    waveform: Array  # at the embedder's rate
    facts: Facts


@dataclass
class _Work:
    """What to do with each file, and the keys under which the results are kept."""

    embedder: Embedder
    cache: EmbeddingCache | None
    band_limit: int | None
    inspect: Inspect | None
    strict: bool
    frames: bool

    def run(self, files: Sequence[SoundFile], skipped: list[tuple[Path, str]], advance: Advance) -> dict[str, _Done]:
        """Results by digest; files that cannot be decoded are added to `skipped`."""
        by_digest: dict[str, SoundFile] = {}  # copies of a file are embedded once
        for file in files:
            by_digest.setdefault(file.digest, file)
        done = self._known(list(by_digest.values()))
        advance(len(skipped) + len(files) - len(by_digest) + len(done))
        missing = [file for digest, file in by_digest.items() if digest not in done]
        broken: dict[str, str] = {}
        decoded, rate = self._decoded(missing, broken), self.embedder.sample_rate
        for batch in batches_of_sounds(decoded, CLIPS_PER_BATCH, lambda clip: len(clip.waveform), rate):
            results = self._embed(batch)
            done |= results
            self._keep(results)
            advance(len(batch))
        advance(len(broken))
        for file in files:
            if file.digest in broken:
                skipped.append(
                    (file.path, broken[file.digest].replace(str(by_digest[file.digest].path), str(file.path)))
                )
        return done

    def _known(self, files: Sequence[SoundFile]) -> dict[str, _Done]:
        if not self._cache:
            return {}
        found = self._cache.get([key for file in files for key in self._keys(file.digest)])
        done = {}
        for file in files:
            embedding_key, facts_key = self._keys(file.digest)
            if embedding_key in found and (self.inspect is None or facts_key in found):
                values = np.frombuffer(found[embedding_key], dtype="<f4").astype(np.float32)
                facts = json.loads(found[facts_key]) if self.inspect else {}
                done[file.digest] = _Done(values.reshape(-1, self.embedder.dim), facts)
        return done

    def _keep(self, results: dict[str, _Done]) -> None:
        if not self._cache:
            return
        values: dict[bytes, bytes] = {}
        for digest, result in results.items():
            embedding_key, facts_key = self._keys(digest)
            values[embedding_key] = result.embeddings.astype("<f4").tobytes()
            if self.inspect:
                values[facts_key] = json.dumps(result.facts).encode()
        self._cache.put(values)

    @property
    def _cache(self) -> EmbeddingCache | None:
        return self.cache if self.embedder.hash else None

    def _keys(self, digest: str) -> tuple[bytes, bytes]:
        embedding, facts = self._decided_by
        return cache_key(embedding, [digest]), cache_key(facts, [digest])

    @cached_property
    def _decided_by(self) -> tuple[str, str]:
        """What decides an embedding, and what `inspect` says, beside the content of the file."""
        limit = None if self.band_limit is None or self.band_limit >= self.embedder.sample_rate else self.band_limit
        kind = "frames" if self.frames else "clip"
        inspect = f"{self.inspect.__module__}.{self.inspect.__qualname__}" if self.inspect else ""
        embedding = cache_key(kind, [identity_of(self.embedder), limit, EMBEDDING_VERSION]).hex()
        return embedding, cache_key("facts", [inspect, EMBEDDING_VERSION]).hex()

    def _decode(self, file: SoundFile) -> _Decoded:
        waveform, rate = read_audio(file.path)
        facts = self.inspect(waveform, rate) if self.inspect else {}
        if self.band_limit is not None and self.band_limit < min(rate, self.embedder.sample_rate):
            waveform, rate = resample(waveform, rate, self.band_limit), self.band_limit
        waveform = resample(waveform, rate, self.embedder.sample_rate)
        if not waveform.size:
            raise ClapgenError(f"{file.path} is too short: nothing is left of it at {self.embedder.sample_rate} Hz.")
        return _Decoded(file, waveform, facts)

    def _decoded(self, files: Iterable[SoundFile], broken: dict[str, str]) -> Iterator[_Decoded]:
        """Decode a few batches ahead of the embedding, so that neither waits and memory stays bounded."""
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

    def _embed(self, batch: list[_Decoded]) -> dict[str, _Done]:
        import torch

        rate = self.embedder.sample_rate
        with torch.no_grad(), torch.autocast(device_type(self.embedder), enabled=False):
            if self.frames:
                tables = [self.embedder.embed_frames(clip.waveform, rate) for clip in batch]
            else:
                tables = list(self.embedder.embed_audio([clip.waveform for clip in batch], rate)[:, None])
        results = {}
        for clip, table in zip(batch, tables, strict=True):
            values = table.float().cpu().numpy()
            if not np.isfinite(values).all():
                raise ClapgenError(
                    f"the model {display_name(self.embedder)} gives NaN or infinity for {clip.file.path}. "
                    f"{BROKEN_MODEL}"
                )
            results[clip.file.digest] = _Done(values, clip.facts)
        return results
