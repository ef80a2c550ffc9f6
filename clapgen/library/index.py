"""The index of a large library: faiss, derived from the vectors in the database, and only ever a short cut.

An inverted file with 8-bit vectors (IVF-SQ8; Jégou et al. 2011, Douze et al. 2024), mapped into memory. It proposes
vectors; their cosines are then computed exactly from the database. Its file is written whole and named after the last
vector in it: newer vectors are scanned, and those deleted since are not in the database any more.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clapgen.errors import ClapgenError
from clapgen.files import atomic_path
from clapgen.library.records import Queries, VectorRows

logger = logging.getLogger(__name__)

Ids = npt.NDArray[np.int64]

MIN_VECTORS = 100_000  # below, a scan is as fast
NEW_SHARE = 0.2  # of the vectors, that may be newer than the index, or deleted, before it is made again
PROBED = 64  # lists that a query looks into
_TRAINING_VECTORS_PER_LIST = 64
_SUFFIX = ".faiss"


def can_index() -> bool:
    """Whether faiss is installed."""
    return importlib.util.find_spec("faiss") is not None


class VectorIndex:
    """An index in a file, of all vectors with ids up to `last`."""

    def __init__(self, path: Path, index: Any) -> None:
        self.path, self.index = path, index
        self.last = int(path.stem.rpartition("-")[2])

    def __len__(self) -> int:
        return int(self.index.ntotal)

    def candidates(self, queries: Queries, count: int) -> list[Ids]:
        """For each query, the ids of about `count` vectors that are probably near."""
        import faiss

        lists = self.index.nlist if hasattr(self.index, "nlist") else faiss.extract_index_ivf(self.index).nlist
        parameters = faiss.SearchParametersIVF()
        parameters.nprobe = min(PROBED, lists)
        _, ids = self.index.search(np.ascontiguousarray(queries, dtype=np.float32), count, params=parameters)
        return [row[row >= 0] for row in ids]


def find_index(folder: Path, library: str) -> VectorIndex | None:
    """The newest index of a library in its folder; None if there is none, or faiss is missing or cannot read it."""
    if not can_index():
        return None
    import faiss

    for path in _files(folder, library):
        try:
            return VectorIndex(path, faiss.read_index(os.fspath(path), faiss.IO_FLAG_MMAP))
        except RuntimeError as error:
            logger.warning(
                "the index %s cannot be read and is not used; delete it (%s)", path, str(error)[:200].strip()
            )
    return None


def build_index(
    folder: Path,
    library: str,
    count: int,
    rows: Iterable[VectorRows],
    sample: Callable[[int], Iterable[VectorRows]],
) -> VectorIndex:
    """Make the index of a library of `count` vectors, and delete those that it replaces.

    Args:
        rows: all vectors in batches, in the order of their ids.
        sample: gives about so many of them, from all over the library.

    Raises:
        ClapgenError: the file cannot be written.
    """
    import faiss

    lists = list_count(count)
    training = np.concatenate([batch.vectors for batch in sample(lists * _TRAINING_VECTORS_PER_LIST)])
    dim = training.shape[1]
    index = faiss.index_factory(dim, f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
    index.train(training.astype(np.float32))
    last = 0
    for batch in rows:
        index.add_with_ids(batch.vectors.astype(np.float32), batch.ids)
        last = int(batch.ids[-1])
    path = folder / f"{library}-{last}{_SUFFIX}"
    with atomic_path(path, overwrite=True) as temporary:
        try:
            faiss.write_index(index, os.fspath(temporary))
        except RuntimeError as error:
            raise ClapgenError(
                f"cannot write {path}: is the disk full? ({' '.join(str(error).split())[:80]})"
            ) from error
    for other in _files(folder, library):
        if other != path:
            with contextlib.suppress(OSError):
                other.unlink()
    return VectorIndex(path, faiss.read_index(os.fspath(path), faiss.IO_FLAG_MMAP))


def list_count(vectors: int) -> int:
    """Into how many lists the vectors are sorted: about twice the square root of their number, a power of two."""
    return max(1, 2 ** round(math.log2(2 * math.sqrt(max(1, vectors)))))


def _files(folder: Path, library: str) -> list[Path]:
    """The index files of a library, newest first."""
    found = [path for path in folder.glob(f"{library}-*{_SUFFIX}") if path.stem.rpartition("-")[2].isdigit()]
    return sorted(found, key=lambda path: -int(path.stem.rpartition("-")[2]))
