"""The vectors of sound files: read ahead in threads, embedded window by window, and cached by content."""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clapgen.audio.decoding import open_reader
from clapgen.audio.reading import LONGEST_STREAM_SECONDS, stream_audio
from clapgen.audio.silence import SilenceMeter
from clapgen.audio.windows import window_starts
from clapgen.embedders import BROKEN_MODEL, display_name, embed_window_streams, identity_of
from clapgen.embedders.cache import EMBEDDING_VERSION
from clapgen.embedders.file_identity import cache_key
from clapgen.embedders.store import Store as Cache
from clapgen.errors import ClapgenError
from clapgen.library.records import Embeddings, FileState

if TYPE_CHECKING:
    from torch import Tensor

    from clapgen.embedders import Embedder

AHEAD = 16  # sounds that are decoded before the model needs them
_AHEAD_SECONDS = 120.0  # of each; the rest of a long one is decoded while it is embedded

Pieces = Iterable[np.ndarray]


@dataclass(frozen=True)
class Embedded:
    """The embeddings of one sound file, its length, rate and channels, and how it is silent ("" if it is not)."""

    embeddings: Embeddings
    seconds: float
    sample_rate: int
    channels: int
    silent: str


@dataclass
class SoundEmbedder:
    """Embeds files for a library, with a cache as in `clapgen.embedders.cache`."""

    embedder: Embedder
    cache: Cache | None
    pool: ThreadPoolExecutor
    max_seconds: float = LONGEST_STREAM_SECONDS

    def embed(self, files: Sequence[FileState]) -> Iterator[tuple[FileState, Embedded | ClapgenError]]:
        """The embeddings, or the error, of each file; a content should be given once.

        Raises:
            ClapgenError: the model gives NaN or infinity for a sound, which is named.
        """
        known = self._known(files)
        yield from ((file, known[file.digest]) for file in files if file.digest in known)
        errors: deque[tuple[FileState, ClapgenError]] = deque()
        sounds = self._sounds([file for file in files if file.digest not in known], errors)
        for (opened, meter), windows in embed_window_streams(self.embedder, sounds):
            while errors:
                yield errors.popleft()
            yield opened.file, windows if isinstance(windows, ClapgenError) else self._kept(opened, meter, windows)
        yield from errors

    def _kept(self, opened: _Opened, meter: SilenceMeter, windows: Tensor) -> Embedded | ClapgenError:
        rows = windows.float().cpu().numpy()
        if not np.isfinite(rows).all():
            model = display_name(self.embedder)
            raise ClapgenError(f"the model {model} gives NaN or infinity for {opened.file.path}. {BROKEN_MODEL}")
        if not opened.file.is_current():
            return ClapgenError(f"{opened.file.path} changed while it was being read; run the command again.")
        facts = {
            "seconds": meter.samples / self.embedder.sample_rate,
            "sample_rate": opened.sample_rate,
            "channels": opened.channels,
            "silent": meter.note(),
        }
        if self.cache and self.embedder.hash:
            content = json.dumps(facts).encode() + b"\n" + rows.astype("<f4").tobytes()
            self.cache.put({self._key(opened.file.digest): content})
        return self._embedded(rows, facts)

    def _sounds(
        self, files: Sequence[FileState], errors: deque[tuple[FileState, ClapgenError]]
    ) -> Iterator[tuple[tuple[_Opened, SilenceMeter], Pieces]]:
        for file, opened in _ahead(files, self._open, self.pool):
            if isinstance(opened, ClapgenError):
                errors.append((file, opened))
                continue
            meter = SilenceMeter()
            yield (opened, meter), meter.watch(opened.pieces)

    def _open(self, file: FileState) -> _Opened:
        with open_reader(file.path) as reader:
            rate, channels = reader.sample_rate, reader.channels
        pieces = stream_audio(file.path, self.embedder.sample_rate, _AHEAD_SECONDS, self.max_seconds)
        first = list(itertools.islice(pieces, 1))
        return _Opened(file, rate, channels, itertools.chain(first, pieces))

    def _embedded(self, rows: np.ndarray, facts: dict) -> Embedded:
        mean = rows.mean(0, dtype=np.float32)
        # A window alone needs no row of its own. All rows get length 1 here, whatever the model does.
        table = np.concatenate([mean[None], rows]) if len(rows) > 1 else mean[None]
        lengths = np.linalg.norm(table, axis=1, keepdims=True)
        vectors = (table / np.where(lengths > 0, lengths, 1.0)).astype(np.float16)
        spans = np.zeros((0, 2))
        if len(rows) > 1:
            rate, window = self.embedder.sample_rate, self.embedder.window  # type: ignore[attr-defined]
            starts = np.array(window_starts(round(facts["seconds"] * rate), window), dtype=np.float64)
            spans = np.stack([starts, starts + window], axis=1) / rate
        return Embedded(Embeddings(vectors, spans), round(facts["seconds"], 3), *_rest(facts))

    def _key(self, digest: str) -> bytes:
        return cache_key("library windows", [digest, identity_of(self.embedder), EMBEDDING_VERSION])

    def _known(self, files: Sequence[FileState]) -> dict[str, Embedded]:
        if not (self.cache and self.embedder.hash):
            return {}
        keys = {self._key(file.digest): file.digest for file in files}
        found = {}
        for key, content in self.cache.get(list(keys)).items():
            facts, _, table = content.partition(b"\n")
            rows = np.frombuffer(table, dtype="<f4").reshape(-1, self.embedder.dim)
            found[keys[key]] = self._embedded(rows, json.loads(facts))
        return found


@dataclass(frozen=True)
class _Opened:
    file: FileState
    sample_rate: int
    channels: int
    pieces: Pieces


def _rest(facts: dict) -> tuple[int, int, str]:
    return facts["sample_rate"], facts["channels"], facts["silent"]


def _ahead(
    files: Sequence[FileState], read: Callable[[FileState], _Opened], pool: ThreadPoolExecutor
) -> Iterator[tuple[FileState, _Opened | ClapgenError]]:
    """Call `read` for each file, a few ahead in threads, in order."""
    waiting: deque[tuple[FileState, Future[_Opened]]] = deque()
    remaining = iter(files)
    try:
        while True:
            while len(waiting) < AHEAD and (file := next(remaining, None)):
                waiting.append((file, pool.submit(read, file)))
            if not waiting:
                return
            file, future = waiting.popleft()
            try:
                yield file, future.result()
            except ClapgenError as error:
                yield file, error
    finally:
        for _, future in waiting:
            future.cancel()
