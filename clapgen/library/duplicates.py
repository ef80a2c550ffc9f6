"""The recordings of a library that are in it more than once: exact copies by content, others by fingerprint."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from clapgen.data.csv_cells import write_csv_rows
from clapgen.embedders.store import Store as Cache
from clapgen.files import atomic_path
from clapgen.fingerprints import DuplicateGroup, Fingerprint, duplicate_groups, fingerprint_files
from clapgen.library.store import Store

Advance = Callable[[int], None]
COLUMNS = ("group", "path", "of", "exact", "score", "offset_seconds", "common_seconds")


def library_duplicates(
    store: Store, cache: Cache | None = None, exact: bool = False, advance: Advance = lambda count: None
) -> tuple[list[DuplicateGroup[Path]], list[tuple[Path, str]]]:
    """Groups of sounds that are the same recording, and the files that could not be compared, with the reason.

    Args:
        cache: where fingerprints are looked up and stored; without one, every file is read.
        exact: only copies with the same content; nothing is read.
        advance: called twice for each sound: when it is read and when it is compared.
    """
    states = {state.path: state for state, vanished in store.states().values() if not vanished}
    current = {path: states[path].digest for path in sorted(states) if states[path].is_current()}
    again = f"run `clapgen library add {store.location}` first"
    skipped = [(path, f"{path} has changed or is gone; {again}.") for path in sorted(states.keys() - current.keys())]
    advance(len(skipped))
    fingerprints: dict[Path, Fingerprint] = {}
    if not exact:
        fingerprints, unreadable = fingerprint_files(current, cache, advance, lambda path: states[path].is_current())
        skipped += unreadable
    return duplicate_groups(fingerprints, current, advance=advance), skipped


def groups_as_rows(groups: Sequence[DuplicateGroup[Path]]) -> list[dict[str, Any]]:
    """One row per sound, with `COLUMNS`; the first of each group has no `of`."""
    rows = []
    for number, group in enumerate(groups, 1):
        rows.append(dict.fromkeys(COLUMNS) | {"group": number, "path": str(group.key)})
        for member in group.members:
            values = (
                number, str(member.key), str(member.of), member.exact,
                None if member.score is None else round(member.score, 1),
                round(member.offset_seconds, 3),
                None if member.seconds is None else round(member.seconds, 2),
            )  # fmt: skip
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def write_duplicates_csv(
    groups: Sequence[DuplicateGroup[Path]], path: str | os.PathLike[str], force: bool = False
) -> None:
    """A table with one row per sound.

    Raises:
        ClapgenError: the file exists (and not `force`) or cannot be written.
    """
    with atomic_path(path, force) as temporary:
        write_csv_rows(temporary, COLUMNS, [[row[column] for column in COLUMNS] for row in groups_as_rows(groups)])
