"""What a library knows about a sound, and what its stores exchange."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clapgen.errors import ClapgenError

Vectors = npt.NDArray[np.float16]
Queries = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Description:
    """What is said about a sound, by a manifest, a text file next to it, the tags in it, or its name.

    Attributes:
        category: UCS category (CatID), such as `DOORWood`.
        name: the name that an editor gave it (FXName).
        recording: what the sound was cut from, or what it is another version of.
        extra: every other key of a manifest's line.
    """

    captions: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    licence: str | None = None
    author: str | None = None
    category: str | None = None
    name: str | None = None
    recording: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FileState:
    """A file at the time when it was read: size in bytes, time of its last change (ns), sha256 of its content.

    `given` stands for what a manifest or a text file said about it then; "" for nothing.
    """

    path: Path
    size: int
    mtime_ns: int
    digest: str
    given: str = ""

    def is_current(self) -> bool:
        """Whether the file still has this size and time of change."""
        try:
            status = os.stat(self.path)
        except (OSError, ValueError):
            return False
        return (status.st_size, status.st_mtime_ns) == (self.size, self.mtime_ns)


@dataclass(frozen=True)
class Sound:
    """A sound of a library; `id` is 0 until it is stored. `vanished`: its file was not found by the last `add`."""

    id: int
    file: FileState
    seconds: float
    sample_rate: int
    channels: int
    description: Description = field(default_factory=Description)
    vanished: bool = False

    @property
    def path(self) -> Path:
        """Where the file is, absolute."""
        return self.file.path


@dataclass(frozen=True)
class Embeddings:
    """The vectors of one sound: the first of all of it, then those of its windows, if it has more than one.

    Attributes:
        vectors: (1 + windows, dim), each of length 1.
        spans: (windows, 2), start and end in seconds.
    """

    vectors: Vectors
    spans: npt.NDArray[np.float64]


@dataclass
class Changes:
    """What one transaction does: all of it or, if the process ends, nothing.

    Attributes:
        added: new sounds with their embeddings. One with an `id` replaces the stored sound of that id.
        updated: stored sounds whose file, description or `vanished` changed, but not their content.
        removed: ids of sounds to delete.
    """

    added: list[tuple[Sound, Embeddings]] = field(default_factory=list)
    updated: list[Sound] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.added) + len(self.updated) + len(self.removed)


@dataclass(frozen=True)
class Selection:
    """Which sounds a search considers.

    Attributes:
        min_seconds, max_seconds: length of the sound.
        tags: it has all of these; case and underscores do not matter. A UCS category counts as a tag.
        licences: its licence contains one of these; case does not matter.
        under: its file is in one of these folders.
        without_digests: its content is none of these.
        whole: only the embedding of a whole file counts, not those of its windows.
    """

    min_seconds: float | None = None
    max_seconds: float | None = None
    tags: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    under: tuple[Path, ...] = ()
    without_digests: tuple[str, ...] = ()
    whole: bool = False

    def __post_init__(self) -> None:
        for name in ("min_seconds", "max_seconds"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise ClapgenError(f"{name} must be 0 or more seconds, not {value:g}.")
        if self.min_seconds is not None and self.max_seconds is not None and self.min_seconds > self.max_seconds:
            raise ClapgenError(f"min_seconds={self.min_seconds:g} is above max_seconds={self.max_seconds:g}.")

    @property
    def is_everything(self) -> bool:
        """Whether every sound passes, but for those of `without_digests`."""
        return self == Selection(without_digests=self.without_digests, whole=self.whole)


@dataclass(frozen=True)
class Moment:
    """A part of a sound, from `start` to `end` seconds, and its cosine with a query."""

    start: float
    end: float
    score: float


@dataclass(frozen=True)
class Nearby:
    """A sound near a query: the larger of its cosine as a whole and that of its best window.

    Attributes:
        moments: the best windows that do not overlap, best first; empty for a sound no longer than a window.
    """

    sound: int
    score: float
    moments: tuple[Moment, ...] = ()


@dataclass(frozen=True)
class VectorRows:
    """Rows of the table of vectors, in the order of their ids; the rows of a sound are next to each other.

    Attributes:
        ids, sounds: (n,) int64.
        spans: (n, 2) float64, start and end in seconds; NaN for a whole file.
        vectors: (n, dim) float16.
    """

    ids: npt.NDArray[np.int64]
    sounds: npt.NDArray[np.int64]
    spans: npt.NDArray[np.float64]
    vectors: Vectors

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def lengths(self) -> npt.NDArray[np.float32]:
        """(n,) lengths of the vectors, which float16 has rounded away from 1."""
        lengths = np.empty(len(self), dtype=np.float32)
        for start in range(0, len(self), 8192):  # so that memory stays that of float16
            block = self.vectors[start : start + 8192].astype(np.float32)
            lengths[start : start + len(block)] = np.linalg.norm(block, axis=1)
        return lengths
