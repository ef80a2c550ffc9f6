"""Libraries of vectors without sounds."""

from pathlib import Path

import numpy as np

from clapgen.library.folder_store import FolderStore
from clapgen.library.records import Changes, Description, Embeddings, FileState, Sound
from clapgen.library.store import Store


def clustered(count: int, dim: int, rng: np.random.Generator, clusters: int = 50) -> np.ndarray:
    """Vectors (count, dim) of length 1, in clusters within a cone, as those of a CLAP are."""
    centres = np.random.default_rng(7).normal(size=(clusters, dim)) + 1.0
    vectors = centres[rng.integers(0, clusters, count)] + rng.normal(0, 0.7, (count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def sound(number: int, **about: object) -> Sound:
    digest = f"{number:064x}"
    state = FileState(Path(f"/sounds/{number // 100}/{number}.wav"), 100, number, digest)
    return Sound(0, state, float(number % 60), 32000, 1, Description(**about))  # type: ignore[arg-type]


def filled(folder: Path, vectors: np.ndarray, windows: dict[int, np.ndarray] | None = None) -> FolderStore:
    """A library in a folder, see `fill`."""
    store = FolderStore(folder, create=True)
    fill(store, vectors, windows)
    return store


def fill(store: Store, vectors: np.ndarray, windows: dict[int, np.ndarray] | None = None) -> None:
    """Add one sound per vector to an empty library; `windows` gives some of them windows of one second."""
    store.set_facts({"dim": str(vectors.shape[1]), "clap": "x", "model": "x", "hash": "x"})
    changes = Changes()
    for number, vector in enumerate(vectors):
        more = (windows or {}).get(number, np.zeros((0, vectors.shape[1])))
        table = np.concatenate([vector[None], more]).astype(np.float16)
        spans = np.array([[i, i + 1.0] for i in range(len(more))]).reshape(-1, 2)
        changes.added.append((sound(number, tags=("even",) if number % 2 == 0 else ()), Embeddings(table, spans)))
    store.write(changes)
