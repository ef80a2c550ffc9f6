"""Search over HTTP: the hits of `Library.search`, without a path of the server."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest_server import client_of
from starlette.testclient import TestClient

from clapgen.library import Library
from clapgen.server.settings import Settings

ADDRESS = "/v1/search"


@pytest.fixture(scope="module")
def library(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five tones in a library."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "secret-folder").mkdir()
    for number in range(5):
        tone = 0.5 * np.sin(2 * np.pi * 110 * 2**number * np.arange(6000) / 8000)
        soundfile.write(folder / "secret-folder" / f"tone{number}.wav", tone, 8000)
    with Library.open(folder / "sounds.library", model=str(model), device="cpu", create=True) as library:
        library.add([folder / "secret-folder"])
    return folder / "sounds.library"


@pytest.fixture(scope="module")
def searching(model: Path, library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    data = tmp_path_factory.mktemp("data")
    with client_of(Settings(models=(str(model),), library=str(library), device="cpu", data=data)) as client:
        yield client


def test_a_text_finds_what_the_library_finds(searching: TestClient, library: Path, model: Path) -> None:
    answer = searching.post(ADDRESS, json={"text": "rain", "k": 3})
    with Library.open(library, model=str(model), device="cpu") as opened:
        expected = opened.search("rain", k=3)
    found = answer.json()["hits"]
    assert [hit["file"] for hit in found] == [hit.path.name for hit in expected]
    np.testing.assert_allclose([hit["score"] for hit in found], [hit.score for hit in expected], atol=1e-5)
    assert "secret-folder" not in answer.text and str(library.parent) not in answer.text
    assert len(searching.post(ADDRESS, json={"text": ["rain", "wind"], "k": 50}).json()["hits"]) == 5


def test_a_sound_finds_similar_ones_and_they_can_be_played(searching: TestClient, library: Path) -> None:
    path = library.parent / "secret-folder" / "tone2.wav"
    answer = searching.post(ADDRESS, files={"file": ("my.wav", path.read_bytes())}, data={"k": "2"})
    hits = answer.json()["hits"]
    assert len(hits) == 2 and "tone2.wav" not in [hit["file"] for hit in hits]  # itself is left out
    played = searching.get(hits[0]["url"])
    assert played.content == (library.parent / "secret-folder" / hits[0]["file"]).read_bytes()
    assert played.headers["content-type"] in ("audio/x-wav", "audio/wav", "audio/vnd.wave")
    part = searching.get(hits[0]["url"], headers={"Range": "bytes=0-99"})
    assert part.status_code == 206 and len(part.content) == 100


def test_wrong_searches(searching: TestClient, client: TestClient, library: Path) -> None:
    for body, status, words in (
        ({"text": ""}, 422, "the text to search for is empty"),
        ({"text": "rain", "k": 0}, 422, "'k'"),
        ({"text": "rain", "library": "/etc"}, 422, "unknown key 'library'"),
        ({"text": "rain", "without": ["/etc/passwd"]}, 422, "'without' takes texts, not files."),
        ({"text": [], "k": 1}, 422, "nothing to search for"),
    ):
        answer = searching.post(ADDRESS, json=body)
        assert answer.status_code == status and words in answer.json()["detail"], answer.text
    for number in (0, 99, 2**70):
        assert searching.get(f"{ADDRESS}/sounds/{number}").status_code == 404
    assert searching.get(f"{ADDRESS}/sounds/..%2f..%2fetc").status_code == 404
    assert searching.get(f"{ADDRESS}/sounds/etc").status_code == 404
    answer = client.post(ADDRESS, json={"text": "rain"})
    assert answer.status_code == 404 and "start it with --library" in answer.json()["detail"]


def test_the_library_may_be_written_meanwhile(searching: TestClient, library: Path, model: Path) -> None:
    with Library.open(library, model=str(model), device="cpu") as writer, writer.store.writing():
        assert searching.post(ADDRESS, json={"text": "rain"}).status_code == 200
