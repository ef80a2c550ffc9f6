"""Nothing is lost: processes that are killed, several at once, and libraries that cannot be used."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from synthetic import clustered, filled, sound

from clapgen.errors import ClapgenError
from clapgen.library import Library, Selection
from clapgen.library.folder_store import FolderStore
from clapgen.library.records import Changes, Embeddings
from clapgen.library.verifying import verify_library

HERE = Path(__file__).parent
BATCH, DIM = 20, 16


def start(folder: Path, first: int) -> "subprocess.Popen[str]":
    path = os.pathsep.join([str(HERE.parent.parent), str(HERE)])
    return subprocess.Popen(
        [sys.executable, str(HERE / "worker.py"), str(folder), str(first)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def kill_at_random(folder: Path, rounds: int, seed: int) -> None:
    """Every transaction that was reported as done is there after the kill, and of the next one all or nothing."""
    random_moment = random.Random(seed)
    there: set[int] = set()
    for number in range(rounds):
        first = number * 1_000_000
        process = start(folder, first)
        assert process.stdout is not None
        lines = [process.stdout.readline()]  # it works
        reader = threading.Thread(target=lambda out=process.stdout, into=lines: into.extend(out))
        reader.start()
        time.sleep(random_moment.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        reader.join()
        for line in lines:
            if line.endswith("\n"):
                what, batch = line.split()
                (there.add if what == "added" else there.discard)(int(batch))
        store = FolderStore(folder)
        assert [p for p in verify_library(store) if not p.endswith("is gone")] == []
        found: dict[int, int] = {}
        for state, _ in store.states().values():
            found[state.mtime_ns // BATCH * BATCH] = found.get(state.mtime_ns // BATCH * BATCH, 0) + 1
        assert set(found.values()) <= {BATCH}  # a batch is there as a whole
        in_flight = {batch for batch in found.keys() ^ there if batch >= first}
        assert found.keys() ^ there == in_flight and len(in_flight) <= 1
        there = set(found)
        store.close()


def test_a_killed_process_loses_at_most_its_transaction(tmp_path: Path) -> None:
    kill_at_random(tmp_path / "lib", 3, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_fifty_killed_processes_lose_nothing(tmp_path: Path) -> None:
    kill_at_random(tmp_path / "lib", 50, seed=1)


@pytest.mark.parametrize("seconds", [2, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(300)])])
def test_readers_see_a_whole_state_while_another_process_writes(tmp_path: Path, seconds: float) -> None:
    process = start(tmp_path / "lib", 0)
    assert process.stdout is not None
    process.stdout.readline()
    threading.Thread(target=process.stdout.read, daemon=True).start()
    readers = [FolderStore(tmp_path / "lib") for _ in range(2)]
    query = clustered(1, DIM, np.random.default_rng(0))
    sizes: list[int] = []
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            for reader in readers:
                found = reader.nearest(query, 10**6, Selection())[0]
                assert len(found) % BATCH == 0  # whole transactions
                assert len({nearby.sound for nearby in found}) == len(found)
                sizes.append(len(found))
    finally:
        process.kill()
        process.wait()
    assert sizes[-1] > sizes[0]  # they see what is new without opening the library again


def test_a_second_writer_is_refused_and_the_first_named(tmp_path: Path) -> None:
    process = start(tmp_path / "lib", 0)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        with pytest.raises(ClapgenError, match=f"process {process.pid} .* is writing to the library"):
            Library.open(tmp_path / "lib").remove(vanished=True)
    finally:
        process.kill()
        process.wait()
    Library.open(tmp_path / "lib").remove(vanished=True)  # the lock ends with the process


def test_a_folder_that_may_not_be_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = clustered(20, DIM, np.random.default_rng(0))
    filled(tmp_path / "lib", audio).close()
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)
    store = FolderStore(tmp_path / "lib")
    before = sorted(path.name for path in (tmp_path / "lib").iterdir())
    assert store.nearest(audio[3:4], 1, Selection())[0][0].sound == 4
    with pytest.raises(ClapgenError, match="cannot be changed: its folder is read-only"):
        Library(store).remove(vanished=True)
    with pytest.raises(ClapgenError, match="cannot be changed: its folder is read-only"):
        store.write(Changes(removed=[1]))
    store.close()
    assert sorted(path.name for path in (tmp_path / "lib").iterdir()) == before


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    store = filled(tmp_path / "lib", clustered(50, DIM, np.random.default_rng(0)))
    pages = store._tables.database.execute("PRAGMA page_count").fetchone()[0]
    store._tables.database.execute(f"PRAGMA max_page_count = {pages + 1}")
    long = Embeddings(np.ones((5000, DIM), dtype=np.float16), np.zeros((4999, 2)))
    with pytest.raises(ClapgenError, match=r"disk of the library .* is full \(what was added before is kept\)"):
        store.write(Changes(added=[(sound(100), long)]))
    store.close()
    again = FolderStore(tmp_path / "lib")
    assert again.size() == 50 and list(again.check()) == []


def test_a_library_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "lib", create=True)
    store.set_facts({"version": "99"})
    store.close()
    with pytest.raises(ClapgenError, match=r"made by a newer clapgen \(version 99"):
        FolderStore(tmp_path / "lib")


def test_what_is_no_library_is_refused_and_untouched(tmp_path: Path) -> None:
    with pytest.raises(ClapgenError, match="does not exist; make one"):
        FolderStore(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds" / "a.wav").touch()
    with pytest.raises(ClapgenError, match="not a library and not an empty folder"):
        FolderStore(tmp_path / "sounds", create=True)
    (tmp_path / "sounds" / "library.sqlite").write_text("something else entirely, and long enough")
    with pytest.raises(ClapgenError, match="is damaged"):
        FolderStore(tmp_path / "sounds")
    database = sqlite3.connect(tmp_path / "sounds" / "b.sqlite")
    database.execute("CREATE TABLE mine (x)")
    database.commit()
    (tmp_path / "sounds" / "b.sqlite").replace(tmp_path / "sounds" / "library.sqlite")
    with pytest.raises(ClapgenError, match="is not the database of a library"):
        FolderStore(tmp_path / "sounds")


def test_verify_finds_what_is_wrong(library: Library, sounds: Path) -> None:
    library.add(sounds)
    assert verify_library(library.store, content=True) == []
    (sounds / "a.wav").unlink()
    content = bytearray((sounds / "b.wav").read_bytes())
    content[-1] ^= 1
    status = (sounds / "b.wav").stat()
    (sounds / "b.wav").write_bytes(content)
    os.utime(sounds / "b.wav", ns=(status.st_atime_ns, status.st_mtime_ns))  # a disk that changes bits
    assert verify_library(library.store) == [f"{sounds / 'a.wav'} is gone"]
    assert verify_library(library.store, content=True)[1].startswith(f"{sounds / 'b.wav'} has another content")
    database = library.store._tables.database  # type: ignore[attr-defined]
    database.execute("UPDATE vectors SET vector = zeroblob(LENGTH(vector)) WHERE sound = 3 AND start IS NULL")
    database.execute("DELETE FROM vectors WHERE sound = 1")
    problems = verify_library(library.store)
    assert "a vector of sound 3 is damaged" in problems
    assert "1 sounds without exactly one vector of the whole" in problems
