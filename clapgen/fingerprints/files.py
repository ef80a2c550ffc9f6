"""Fingerprints of many files: read in threads, each content once, and cached by content."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from clapgen.embedders.file_identity import cache_key, worker_count
from clapgen.embedders.store import Store
from clapgen.errors import ClapgenError
from clapgen.fingerprints.fingerprint import VERSION, Fingerprint, fingerprint_file

FILES_PER_BATCH = 64  # after which what was computed is stored, so that little is lost on Ctrl-C

Advance = Callable[[int], None]  # called with the number of recordings just done


def fingerprint_files(
    contents: Mapping[Path, str],
    cache: Store | None = None,
    advance: Advance = lambda count: None,
    is_current: Callable[[Path], bool] = lambda path: True,
) -> tuple[dict[Path, Fingerprint], list[tuple[Path, str]]]:
    """The fingerprints of sound files, of those with the same content only of the first; and the files that cannot be
    read, with the reason.

    Args:
        contents: the sha256 of each file's content.
        cache: where fingerprints are looked up and stored.
        advance: called with the number of files just done.
        is_current: whether a file still has its content, asked once it was read.
    """
    first_with = {content: path for path, content in reversed(list(contents.items()))}
    paths = [path for path, content in contents.items() if first_with[content] == path]
    advance(len(contents) - len(paths))
    fingerprints: dict[Path, Fingerprint] = {}
    skipped: list[tuple[Path, str]] = []
    with ThreadPoolExecutor(worker_count()) as pool:
        for batch in _batches(paths):
            keys = {path: cache_key("fingerprint", [contents[path], VERSION]) for path in batch}
            known = cache.get(list(keys.values())) if cache else {}
            fresh = [path for path in batch if keys[path] not in known]
            results = dict(zip(fresh, pool.map(_read, fresh), strict=True))
            changed = [path for path in fresh if not is_current(path)]
            for path in changed:
                results[path] = f"{path} has changed since its content was hashed; run the command again."
            for path in batch:
                result = results[path] if path in results else Fingerprint.from_bytes(known[keys[path]])
                if isinstance(result, str):
                    skipped.append((path, result))
                else:
                    fingerprints[path] = result
            if cache:
                cache.put({keys[p]: r.to_bytes() for p, r in results.items() if not isinstance(r, str)})
            advance(len(batch))
    return fingerprints, skipped


def _read(path: Path) -> Fingerprint | str:
    try:
        return fingerprint_file(path)
    except ClapgenError as error:
        return str(error)


def _batches(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    for start in range(0, len(paths), FILES_PER_BATCH):
        yield paths[start : start + FILES_PER_BATCH]
