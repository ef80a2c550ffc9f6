"""Identity of sound files: content hash, sample rate and duration. Unchanged files are not hashed again."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clapgen.audio import rate_and_duration_of
from clapgen.audio.reading import LONGEST_SECONDS
from clapgen.embedders.store import Store
from clapgen.errors import ClapgenError

SETTLED_SECONDS = 2.0  # a file changed more recently may change again without a new timestamp
_HASH_BLOCK = 1 << 20
_VERSION = 3


@dataclass(frozen=True)
class SoundFile:
    """A file with the sha256 `digest` of its content, and from its header the sample rate (Hz) and duration (s).

    `state` stands for the size, times and inode that the file had before it was hashed.
    """

    path: Path
    digest: str
    sample_rate: int
    seconds: float
    state: bytes = field(repr=False)

    def check_unchanged(self) -> None:
        """Call this after reading the file again: what was read then is what `digest` identifies.

        Raises:
            ClapgenError: the file was changed or replaced since it was hashed.
        """
        if _stamp(self.path) == self.state:
            return
        try:
            same = (
                content_digest(self.path) == self.digest
            )  # some network file systems change inodes or times by themselves
        except OSError:
            same = False
        if not same:
            raise ClapgenError(f"{self.path} changed while it was being read; run the command again.")


def identify_files(
    paths: Sequence[str | Path | SoundFile], cache: Store | None = None, *, strict: bool = False
) -> tuple[list[SoundFile], list[tuple[Path, str]]]:
    """Content hash, sample rate and duration of each file, and the files that cannot be opened, with the reason.

    A `SoundFile` among the paths is returned as it is, without opening the file again.

    Raises:
        ClapgenError: `strict`, and a file cannot be opened.
    """
    found: dict[Path, SoundFile | str] = {file.path: file for file in paths if isinstance(file, SoundFile)}
    wanted = [file.path if isinstance(file, SoundFile) else Path(file) for file in paths]
    stamps = {path: _stamp(path) for path in wanted if path not in found}
    known = cache.get([stamp for stamp in stamps.values() if stamp]) if cache else {}
    remembered: dict[bytes, bytes] = {}
    with ThreadPoolExecutor(worker_count()) as pool:
        unknown = [path for path, stamp in stamps.items() if stamp not in known]
        states = [stamps[path] for path in unknown]
        found |= dict(zip(unknown, pool.map(_identify, unknown, states), strict=True))
    for path, stamp in stamps.items():
        if stamp in known:
            found[path] = SoundFile(path, **json.loads(known[stamp]), state=stamp)
            continue
        file = found[path]
        if isinstance(file, SoundFile) and _is_settled(file):
            facts = {"digest": file.digest, "sample_rate": file.sample_rate, "seconds": file.seconds}
            remembered[file.state] = json.dumps(facts).encode()
    if cache and remembered:
        cache.put(remembered)
    skipped = [(path, reason) for path in wanted if isinstance(reason := found[path], str)]
    if skipped and strict:
        raise ClapgenError(skipped[0][1])
    return [file for path in wanted if isinstance(file := found[path], SoundFile)], skipped


def _identify(path: Path, state: bytes | None) -> SoundFile | str:
    try:
        sample_rate, seconds = rate_and_duration_of(path)
        if seconds > LONGEST_SECONDS:  # before anything is decided by its sample rate
            return f"{path} is {seconds / 3600:.3g} h long; at most {LONGEST_SECONDS / 3600:g} h are evaluated: cut it."
        digest = content_digest(path)
    except ClapgenError as error:
        return str(error)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror or error}."
    return SoundFile(path, digest, sample_rate, seconds, state or b"")


def content_digest(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal. `OSError` if it cannot be read."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _stamp(path: Path) -> bytes | None:
    """A cache key for the current state of a file; None if it does not exist."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    changed = [status.st_mtime_ns, status.st_ctime_ns]  # only the first can be set by a user
    state = [str(path.absolute()), status.st_size, *changed, status.st_ino, _VERSION]
    return cache_key("file", state)


def _is_settled(file: SoundFile) -> bool:
    """Whether the file is unchanged since it was read, and old enough that its next change gets a new timestamp."""
    try:
        return file.path.stat().st_mtime < time.time() - SETTLED_SECONDS and _stamp(file.path) == file.state
    except OSError:
        return False


def cache_key(kind: str, what: list[Any]) -> bytes:
    """A cache key: the hash of a kind and of everything that determines the value (as JSON)."""
    return hashlib.sha256(json.dumps([kind, *what]).encode(errors="surrogateescape")).digest()


def worker_count() -> int:
    """Number of threads that read and decode files."""
    return min(8, os.cpu_count() or 1)
