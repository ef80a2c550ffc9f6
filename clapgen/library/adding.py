"""Adding sounds to a library: what is new, changed, moved or gone is found out, and only new content is embedded."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from clapgen.embedders.file_identity import content_digest, worker_count
from clapgen.errors import ClapgenError
from clapgen.library.embedding import Embedded, SoundEmbedder
from clapgen.library.records import Changes, Description, Embeddings, FileState, Sound
from clapgen.library.sources import Source, Sources, merged
from clapgen.library.store import Store
from clapgen.library.tags import read_tags
from clapgen.terminal import defer_keyboard_interrupt

FILES_PER_BATCH = 64  # in one transaction
BYTES_PER_BATCH = 256 << 20

Advance = Callable[[int], None]


@dataclass
class AddReport:
    """What adding did: numbers of files, and the paths of those that a user may want to know.

    Attributes:
        added, changed, unchanged: new files; files with new content; files that were not read again.
        described: files with the same content, about which something else is said now.
        moved: from where to where.
        vanished: files that are no longer there. They stay in the library, but are not found.
        skipped: files that cannot be used, with the reason.
        silent: files without content, with a note; their embeddings are not meaningful.
        remarks: other things to know.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    described: int = 0
    moved: list[tuple[Path, Path]] = field(default_factory=list)
    vanished: list[Path] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    silent: list[tuple[Path, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Read:
    """A file that has been hashed, and what it says about itself."""

    source: Source
    state: FileState
    own: Description


def add_sources(
    store: Store,
    sources: Sources,
    make_embedder: Callable[[ThreadPoolExecutor], SoundEmbedder],
    advance: Advance = lambda count: None,
) -> AddReport:
    """Bring a library up to date with files.

    A file whose size and time of change are as before is not read. Another is hashed; if its content is in the library,
    under its own or another name, it is not embedded again. Each batch is one transaction, so that a run that ends
    early, however it ends, is continued by the next.

    Args:
        make_embedder: called when the first sound must be embedded, with the threads to decode in.
        advance: called with the number of files just done.

    Raises:
        ClapgenError: the store cannot be written, or what `make_embedder` raises.
    """
    with ThreadPoolExecutor(worker_count()) as pool:
        work = _Adding(store, pool, make_embedder, advance)
        try:
            work.run(sources)
        finally:
            pool.shutdown(cancel_futures=True)
    return work.report


class _Adding:
    def __init__(
        self,
        store: Store,
        pool: ThreadPoolExecutor,
        make_embedder: Callable[[ThreadPoolExecutor], SoundEmbedder],
        advance: Advance,
    ) -> None:
        self.store, self.pool, self.make_embedder, self.advance = store, pool, make_embedder, advance
        self.report = AddReport()
        self.embedder: SoundEmbedder | None = None
        self.absent: set[Path] = set()
        self.named: dict[str, str] = {}  # content that cannot be decoded → the path in its error
        self.states = store.states()
        self.ids = {state.path: id for id, (state, _) in self.states.items()}
        self.by_digest: dict[str, list[int]] = {}
        for id, (state, _) in self.states.items():
            self.by_digest.setdefault(state.digest, []).append(id)

    def run(self, sources: Sources) -> None:
        self.report.remarks += sources.remarks
        seen = {source.path for source in sources.files}
        for batch in self._hashed(self._to_read(sources.files)):
            self._add(batch)
        self._report_vanished(sources.folders, seen)

    def _to_read(self, files: Sequence[Source]) -> Iterator[tuple[Source, os.stat_result]]:
        """The files that are not as the library knows them. What is only back is marked in the library."""
        back = []
        for source in files:
            try:
                status = os.stat(source.path)
            except OSError as error:
                self.absent.add(source.path)
                self._skip(source.path, f"{source.path} cannot be read: {_reason(error)}.")
                continue
            if not stat.S_ISREG(status.st_mode):
                self._skip(source.path, f"{source.path} is not a file.")
                continue
            id = self.ids.get(source.path)
            state, vanished = self.states[id] if id else (None, False)
            same = state and (state.size, state.mtime_ns) == (status.st_size, status.st_mtime_ns)
            if id and state and same and source.given in ("", state.given):
                back += [id] if vanished else []
                self.report.unchanged += 1
                self.advance(1)
            else:
                yield source, status
        if back:
            self._write(Changes(updated=[replace(sound, vanished=False) for sound in self.store.sounds(back)]))

    def _hashed(self, files: Iterator[tuple[Source, os.stat_result]]) -> Iterator[list[_Read]]:
        """Batches of files that have been hashed; the next batch is hashed while one is embedded."""
        before: list[Future[_Read | tuple[Path, str]]] = []
        for batch in _batches(files):
            futures = [self.pool.submit(_read, *file) for file in batch]
            if before:
                yield self._readable(before)
            before = futures
        if before:
            yield self._readable(before)

    def _readable(self, futures: Sequence[Future[_Read | tuple[Path, str]]]) -> list[_Read]:
        readable = []
        for future in futures:
            read = future.result()
            if isinstance(read, _Read):
                readable.append(read)
            else:
                self._skip(*read)
        return readable

    def _add(self, batch: list[_Read]) -> None:
        fresh = {read.state.digest: read for read in reversed(batch) if not self.by_digest.get(read.state.digest)}
        done: dict[str, Embedded | ClapgenError] = {}
        try:
            self._embed(list(reversed(fresh.values())), done)
        finally:  # also when Ctrl-C ends the embedding: what is done is kept
            with defer_keyboard_interrupt():
                self._keep(batch, done)

    def _embed(self, fresh: list[_Read], done: dict[str, Embedded | ClapgenError]) -> None:
        if not fresh:
            return
        if self.embedder is None:
            self.embedder = self.make_embedder(self.pool)
        for state, result in self.embedder.embed([read.state for read in fresh]):
            done[state.digest] = result
            if isinstance(result, ClapgenError):
                self.named[state.digest] = str(state.path)
            if isinstance(result, Embedded) and result.silent:
                self.report.silent.append((state.path, result.silent))
            self.advance(1)

    def _keep(self, batch: list[_Read], done: dict[str, Embedded | ClapgenError]) -> None:
        """Write one batch."""
        changes = Changes()
        for read in batch:
            found = done.get(read.state.digest)
            if isinstance(found, Embedded):
                self._put(changes, read, found.embeddings, (found.seconds, found.sample_rate, found.channels))
            elif found is not None:
                path = read.source.path  # the error names the first of the files with this content
                self._skip(path, str(found).replace(self.named[read.state.digest], str(path)))
            elif self.by_digest.get(read.state.digest):
                self._put_known(changes, read)
        self._write(changes)

    def _put(self, changes: Changes, read: _Read, embeddings: Embeddings, facts: tuple[float, int, int]) -> None:
        id = self.ids.get(read.source.path, 0)
        description = merged(read.source.description, read.own)
        changes.added.append((Sound(id, read.state, *facts, description), embeddings))
        self.report.changed += bool(id)
        self.report.added += not id

    def _put_known(self, changes: Changes, read: _Read) -> None:
        """A content that is in the library: the same file, one that was moved, or a copy."""
        self.advance(1)
        known = {sound.path: sound for sound in self.store.sounds(self.by_digest[read.state.digest])}
        if same := known.get(read.source.path):
            given = read.source.given
            about = merged(read.source.description, read.own) if given else same.description
            state = read.state if given else replace(read.state, given=same.file.given)
            changes.updated.append(replace(same, file=state, description=about, vanished=False))
            self.report.described += about != same.description
            self.report.unchanged += about == same.description
            return
        taken = {sound.id for sound in changes.updated}
        gone = [s for s in known.values() if s.id not in taken and not os.path.lexists(s.path)]
        if gone and read.source.path not in self.ids:
            about = merged(read.source.description, gone[0].description)
            state = read.state if read.source.given else replace(read.state, given=gone[0].file.given)
            changes.updated.append(replace(gone[0], file=state, description=about, vanished=False))
            self.report.moved.append((gone[0].path, read.source.path))
            return
        [original, *_] = known.values()
        rows = self.store.rows_of([original.id])
        facts = (original.seconds, original.sample_rate, original.channels)
        self._put(changes, read, Embeddings(rows.vectors, rows.spans[1:]), facts)

    def _write(self, changes: Changes) -> None:
        """Write, and remember what is now in the library."""
        if not changes:
            return
        ids = self.store.write(changes)
        now = [*zip(ids, (sound for sound, _ in changes.added), strict=True)]
        for id, sound in now + [(sound.id, sound) for sound in changes.updated]:
            if before := self.states.get(id):
                self.ids.pop(before[0].path, None)
                self.by_digest[before[0].digest].remove(id)
            self.states[id] = (sound.file, sound.vanished)
            self.by_digest.setdefault(sound.file.digest, []).append(id)
        for id, sound in now + [(sound.id, sound) for sound in changes.updated]:
            self.ids[sound.path] = id

    def _report_vanished(self, folders: Sequence[Path], seen: set[Path]) -> None:
        gone = []
        for path, id in self.ids.items():
            unseen = path not in seen and any(folder in path.parents for folder in folders)
            if (path in self.absent or unseen) and not os.path.lexists(path):
                self.report.vanished.append(path)
                gone += [] if self.states[id][1] else [id]
        if gone:
            self._write(Changes(updated=[replace(sound, vanished=True) for sound in self.store.sounds(gone)]))

    def _skip(self, path: Path, reason: str) -> None:
        self.report.skipped.append((path, reason))


def _batches(files: Iterator[tuple[Source, os.stat_result]]) -> Iterator[list[tuple[Source, os.stat_result]]]:
    batch: list[tuple[Source, os.stat_result]] = []
    size = 0
    for file in files:
        batch.append(file)
        size += file[1].st_size
        if len(batch) == FILES_PER_BATCH or size > BYTES_PER_BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _read(source: Source, status: os.stat_result) -> _Read | tuple[Path, str]:
    try:
        digest = content_digest(source.path)
    except OSError as error:
        return source.path, f"{source.path} cannot be read: {_reason(error)}."
    state = FileState(source.path, status.st_size, status.st_mtime_ns, digest, source.given)
    return _Read(source, state, read_tags(source.path))


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
