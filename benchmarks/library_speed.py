"""Search in a large sound library: time of a query, recall@10 against a scan, memory and disk.

    python benchmarks/library_speed.py --vectors 1000000
    python benchmarks/library_speed.py --vectors 100000 --folder /tmp/lib
    python benchmarks/library_speed.py --vectors 100000 --postgres "postgresql://me@/sounds?schema=speed"

The vectors are synthetic: clusters with Pareto-distributed sizes in 48 dimensions, noise in all, and a mean that they
share, as a CLAP's do. Each is a sound of its own. `--scan` measures the library without an index, as it is below
100,000 vectors or without faiss. Queries are new vectors of the same kind, one at a time.

With `--postgres`, the library is a new schema on that server, with an index at any size; drop it afterwards. CPU times
include those of the server if it runs on this machine (Linux); memory is that of the client.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from clapgen.library.folder_store import FolderStore
from clapgen.library.records import Changes, Description, Embeddings, FileState, Selection, Sound
from clapgen.library.store import Store, open_store

BATCH = 5000
CLUSTERS, LATENT = 4000, 48
K = 10


class Law:
    """The law that the vectors of the library and of the queries are drawn from."""

    def __init__(self, dim: int) -> None:
        rng = np.random.default_rng(0)
        self.dim = dim
        self.basis = rng.normal(size=(LATENT, dim)).astype(np.float32) / dim**0.5
        self.centres = rng.normal(size=(CLUSTERS, LATENT)).astype(np.float32)
        weights = rng.pareto(1.2, CLUSTERS) + 0.1
        self.weights = weights / weights.sum()
        self.mean = rng.normal(size=dim).astype(np.float32) / dim**0.5

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Vectors (count, dim) float32 of length 1."""
        latent = self.centres[rng.choice(CLUSTERS, count, p=self.weights)] + 0.5 * rng.normal(size=(count, LATENT))
        noise = 0.3 * rng.normal(size=(count, self.dim)) / self.dim**0.5
        vectors = latent.astype(np.float32) @ self.basis / LATENT**0.5 + noise + self.mean
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def fill(location: str, count: int, dim: int) -> dict[str, float]:
    """Make the library; seconds for the rows and for the index."""
    law, rng = Law(dim), np.random.default_rng(1)
    store = open_store(location, create=True)
    store.set_facts({"dim": str(dim), "clap": "synthetic", "model": "synthetic", "hash": "synthetic"})
    start, none = time.perf_counter(), np.zeros((0, 2))
    for first in range(0, count, BATCH):
        vectors = law.draw(min(BATCH, count - first), rng).astype(np.float16)
        added = [(_sound(first + i), Embeddings(vector[None], none)) for i, vector in enumerate(vectors)]
        store.write(Changes(added=added))
    rows = time.perf_counter()
    store.tidy()
    end = time.perf_counter()
    store.close()
    return {"rows_seconds": round(rows - start, 1), "index_seconds": round(end - rows, 1)}


def _sound(number: int) -> Sound:
    state = FileState(Path(f"/sounds/{number // 1000}/{number}.wav"), 44, number, f"{number:064x}")
    about = Description((f"a sound number {number}",), (f"tag{number % 100}",), "CC0")
    return Sound(0, state, float(number % 600) / 10, 48000, 1, about)


def measure(location: str, queries: int, dim: int) -> dict[str, float]:
    """Times of single queries in milliseconds, and recall@10; run in a process of its own for its memory."""
    vectors = Law(dim).draw(queries, np.random.default_rng(2))
    store = open_store(location)
    before, start = _own_memory(), time.perf_counter()
    store.nearest(vectors[:1], K, Selection())
    first = time.perf_counter() - start
    found, times, cpu = [], [], []
    for vector in vectors:
        start, used = time.perf_counter(), _cpu_seconds(store)
        found.append({nearby.sound for nearby in store.nearest(vector[None], K, Selection())[0]})
        times.append(time.perf_counter() - start)
        cpu.append(_cpu_seconds(store) - used)
    memory = _own_memory() - before
    filtered, filtered_cpu = [], []
    for vector in vectors[:20]:
        start, used = time.perf_counter(), _cpu_seconds(store)
        store.nearest(vector[None], K, Selection(tags=("tag7",)))
        filtered.append(time.perf_counter() - start)
        filtered_cpu.append(_cpu_seconds(store) - used)
    exact = _exact(store, vectors)
    return {
        "first_query_ms": round(1000 * first, 1),
        "median_ms": round(1000 * float(np.median(times)), 2),
        "p95_ms": round(1000 * float(np.quantile(times, 0.95)), 2),
        "cpu_median_ms": round(1000 * float(np.median(cpu)), 2),
        "filter_1_percent_median_ms": round(1000 * float(np.median(filtered)), 1),
        "filter_1_percent_cpu_median_ms": round(1000 * float(np.median(filtered_cpu)), 1),
        "recall_at_10": float(np.mean([len(a & b) / K for a, b in zip(found, exact, strict=True)])),
        "memory_mb": round(memory, 1),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def _exact(store: Store, vectors: np.ndarray) -> list[set[int]]:
    best: list[list[tuple[float, int]]] = [[] for _ in vectors]
    for rows in store.rows():
        cosines = vectors @ (rows.vectors.astype(np.float32) / rows.lengths[:, None]).T
        top = np.argpartition(-cosines, K, axis=1)[:, :K]
        for each, scores, columns in zip(best, cosines, top, strict=True):
            each += [(-float(scores[column]), int(rows.sounds[column])) for column in columns]
    return [{sound for _, sound in sorted(each)[:K]} for each in best]


def _cpu_seconds(store: Store) -> float:
    """CPU time of this process and of the one that serves it, if that is on this machine (Linux)."""
    server = 0.0
    if not isinstance(store, FolderStore):
        with contextlib.suppress(OSError):
            process = store._tables.database.info.backend_pid  # type: ignore[attr-defined]
            server = int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9
    return time.process_time() + server


def _own_memory() -> float:
    """MB of this process that belong to no mapped file (Linux); 0 elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where the library is made; used again if it is there")
    parser.add_argument("--postgres", metavar="URL", help="make the library there instead")
    parser.add_argument("--scan", action="store_true", help="without an index")
    parser.add_argument("--measure", action="store_true", help="only measure (used for the process that is measured)")
    options = parser.parse_args()
    _choose_index(options.scan, options.postgres is not None)
    if options.measure:
        print(json.dumps(measure(options.postgres or str(options.folder), options.queries, options.dim)))
        return
    folder = options.folder or Path(tempfile.mkdtemp()) / "lib"
    location = options.postgres or str(folder)
    try:
        report = {"vectors": options.vectors, "dim": options.dim, "cores": os.cpu_count()}
        report |= {} if folder.exists() else fill(location, options.vectors, options.dim)
        store = open_store(location)
        report["disk_mb"] = round(store.totals().bytes / 1e6, 1)
        store.close()
        command = [sys.executable, __file__, "--measure", "--queries", str(options.queries), "--dim", str(options.dim)]
        command += ["--postgres", location] if options.postgres else ["--folder", location]
        command += ["--scan"] if options.scan else []
        report |= json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(json.dumps(report, indent=2))
    finally:
        if options.folder is None:
            shutil.rmtree(folder.parent)


def _choose_index(scan: bool, on_server: bool) -> None:
    """With a scan no index is made or used; on a server otherwise always."""
    if on_server:
        from clapgen.library import postgres_search
        from clapgen.library.postgres_tables import PostgresTables

        postgres_search.MIN_VECTORS = sys.maxsize if scan else 1
        if scan:
            PostgresTables.has_index = lambda self: False  # type: ignore[method-assign]
    elif scan:
        from clapgen.library import index

        index.can_index = lambda: False


if __name__ == "__main__":
    main()
