"""The index of a large library is a short cut: nearly the same sounds as a scan, and never a wrong one."""

from pathlib import Path

import numpy as np
import pytest
from synthetic import clustered, filled, sound

from clapgen.library import Selection
from clapgen.library.folder_store import FolderStore
from clapgen.library.records import Changes, Embeddings

pytest.importorskip("faiss")
DIM = 64


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries of 4,000 vectors have an index, and look into 8 of its 128 lists."""
    monkeypatch.setattr("clapgen.library.index.MIN_VECTORS", 1000)
    monkeypatch.setattr("clapgen.library.index.PROBED", 8)
    monkeypatch.setattr("clapgen.library.nearest.FEW_SOUNDS", 100)


def exact(store: FolderStore, queries: np.ndarray, k: int, selection: Selection) -> list[list[int]]:
    from clapgen.library.scan import Considered, joined, nearest_sounds

    with store._reading() as tables:
        considered = Considered(tables.selected(selection), tables.excluded(selection), selection.whole)
    return [[n.sound for n in found] for found in nearest_sounds(joined(list(store.rows())), queries, k, considered)]


def recall(store: FolderStore, queries: np.ndarray, selection: Selection | None = None, k: int = 10) -> float:
    selection = selection or Selection()
    found = [[nearby.sound for nearby in each] for each in store.nearest(queries, k, selection)]
    expected = exact(store, queries, k, selection)
    assert [len(each) for each in found] == [len(each) for each in expected]
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, expected, strict=True)]))


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    store = filled(tmp_path / "lib", clustered(4000, DIM, np.random.default_rng(0)))
    store.tidy()
    return store


def test_recall_with_and_without_filters(store: FolderStore) -> None:
    queries = clustered(100, DIM, np.random.default_rng(1))
    assert store.totals().indexed == 4000
    assert recall(store, queries) >= 0.95
    assert recall(store, queries, Selection(tags=("even",))) >= 0.9
    assert recall(store, queries, Selection(min_seconds=59)) == 1  # few pass: they are scanned
    assert recall(store, queries[:5], Selection(min_seconds=50, max_seconds=53), k=250) == 1


def test_scores_are_exact(store: FolderStore) -> None:
    query = clustered(1, DIM, np.random.default_rng(1))
    found = store.nearest(query, 10, Selection())[0]
    rows = store.rows_of([nearby.sound for nearby in found])
    vectors = rows.vectors.astype(np.float32) / rows.lengths[:, None]
    by_sound = dict(zip(sorted(nearby.sound for nearby in found), vectors @ query[0], strict=True))
    assert [nearby.score for nearby in found] == pytest.approx([by_sound[n.sound] for n in found], abs=1e-6)


def test_what_is_newer_or_deleted_counts_at_once(store: FolderStore) -> None:
    query = clustered(1, DIM, np.random.default_rng(1))
    best = store.nearest(query, 3, Selection())[0]
    store.write(Changes(removed=[best[0].sound]))
    new = Embeddings(query.astype(np.float16), np.zeros((0, 2)))
    [id] = store.write(Changes(added=[(sound(9999), new)]))
    other = FolderStore(store.folder)
    for reader in (store, other):
        assert [n.sound for n in reader.nearest(query, 3, Selection())[0]] == [id, best[1].sound, best[2].sound]
    assert len(list(store.folder.glob("*.faiss"))) == 1


def test_it_is_made_again_when_much_has_changed(store: FolderStore) -> None:
    [before] = store.folder.glob("*.faiss")
    more = clustered(1200, DIM, np.random.default_rng(2))
    added = [(sound(5000 + i), Embeddings(v[None].astype(np.float16), np.zeros((0, 2)))) for i, v in enumerate(more)]
    store.write(Changes(added=added))
    store.tidy()
    [after] = store.folder.glob("*.faiss")
    assert after != before and store.totals().indexed == 5200
    assert recall(store, more[:50]) >= 0.95


def test_a_broken_index_is_not_used(store: FolderStore, caplog: pytest.LogCaptureFixture) -> None:
    [path] = store.folder.glob("*.faiss")
    path.write_bytes(b"no index")
    other = FolderStore(store.folder)
    query = clustered(5, DIM, np.random.default_rng(1))
    assert recall(other, query) == 1
    assert "cannot be read" in caplog.text


def test_without_faiss_the_library_is_scanned(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clapgen.library.index.can_index", lambda: False)
    assert recall(FolderStore(store.folder), clustered(5, DIM, np.random.default_rng(1))) == 1
