"""Whether a library is whole: its tables, its vectors, and the files that it knows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from clapgen.embedders.file_identity import content_digest
from clapgen.library.store import Store

LENGTH_TOLERANCE = 0.01  # of the length of a vector in float16


def verify_library(store: Store, content: bool = False, update: Callable[[int], None] = lambda done: None) -> list[str]:
    """What is wrong with a library, one line each; empty if nothing is.

    Args:
        content: also hash every file and compare.
        update: called with the number of sounds checked so far.
    """
    problems = list(store.check())
    for rows in store.rows():
        lengths = np.linalg.norm(rows.vectors.astype(np.float32), axis=1)
        wrong = ~(np.abs(lengths - 1) < LENGTH_TOLERANCE)  # also NaN
        problems += [f"a vector of sound {sound} is damaged" for sound in rows.sounds[wrong].tolist()]
    for done, sound in enumerate(store.all_sounds(), 1):
        update(done)
        if not sound.path.is_file():
            problems.append(f"{sound.path} is gone")
        elif not sound.file.is_current():
            problems.append(f"{sound.path} has changed since it was added")
        elif content:
            try:
                if content_digest(sound.path) != sound.file.digest:
                    problems.append(f"{sound.path} has another content than when it was added")
            except OSError as error:
                problems.append(f"{sound.path} cannot be read: {(error.strerror or str(error)).lower()}")
    return problems
