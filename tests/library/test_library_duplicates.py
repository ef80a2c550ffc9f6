"""What a library holds more than once, from Python and from the command line."""

import csv
import json
from pathlib import Path

import pytest
from synthetic_sounds import RATE, sound

from clapgen.audio import write_audio
from clapgen.cli import run
from clapgen.embedders.store import MemoryStore
from clapgen.library import Library
from clapgen.library.duplicates import library_duplicates
from clapgen.testing.disturbances import encoded


@pytest.fixture
def filled(library: Library, tmp_path: Path) -> Library:
    """Rain, a copy of it, a part of it as MP3, and another rain."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    rain = sound("rain", 1)
    write_audio(folder / "rain.wav", rain, RATE)
    (folder / "copy.wav").write_bytes((folder / "rain.wav").read_bytes())
    (folder / "part.mp3").write_bytes(encoded(rain[RATE : 3 * RATE], RATE, "mp3")[0])
    write_audio(folder / "other.wav", sound("rain", 2), RATE)
    library.add(folder, MemoryStore())
    return library


def test_copies_and_re_encodings_are_grouped(filled: Library, cache: MemoryStore) -> None:
    [group], skipped = library_duplicates(filled.store, cache)
    assert skipped == []
    assert group.key.name == "copy.wav"
    found = [(member.key.name, member.of.name, member.exact) for member in group.members]
    assert found == [("rain.wav", "copy.wav", True), ("part.mp3", "copy.wav", False)]
    [group], _ = library_duplicates(filled.store, exact=True)
    assert [member.key.name for member in group.members] == ["rain.wav"]


def test_fingerprints_are_read_once(filled: Library, cache: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    before = library_duplicates(filled.store, cache)
    monkeypatch.delattr("clapgen.fingerprints.files.fingerprint_file")
    assert library_duplicates(filled.store, cache) == before


def test_changed_and_missing_files_are_named(filled: Library, tmp_path: Path) -> None:
    (tmp_path / "sounds" / "rain.wav").write_bytes(b"changed")
    (tmp_path / "sounds" / "other.wav").unlink()
    [group], skipped = library_duplicates(filled.store)
    assert [path.name for path, _ in skipped] == ["other.wav", "rain.wav"]
    assert all("clapgen library add" in reason for _, reason in skipped)
    assert [member.key.name for member in group.members] == ["part.mp3"]


def test_command(filled: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    location, table = str(tmp_path / "lib"), tmp_path / "duplicates.csv"
    capsys.readouterr()
    assert run(["library", "duplicates", location, "--no-cache", "--json", "--csv", str(table)]) == 0
    [group] = map(json.loads, capsys.readouterr().out.splitlines())
    assert Path(group["path"]).name == "copy.wav"
    copy, part = group["members"]
    assert copy == {
        "path": str(tmp_path / "sounds" / "rain.wav"), "of": group["path"], "exact": True,
        "score": None, "offset_seconds": 0.0, "common_seconds": None,
    }  # fmt: skip
    assert part["score"] > 12
    assert part["offset_seconds"] == pytest.approx(1, abs=0.06)
    with open(table, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["path"]).name for row in rows] == ["copy.wav", "rain.wav", "part.mp3"]
    assert {row["group"] for row in rows} == {"1"}

    assert run(["library", "duplicates", location, "--no-cache"]) == 0
    out = capsys.readouterr().out
    for words in ("exact copy", "part.mp3", "more than once: 1", "duplicates: 2"):
        assert words in out
    assert run(["library", "duplicates", location, "--no-cache", "--csv", str(table)]) == 2
    assert "already exists" in capsys.readouterr().err


def test_no_duplicates(library: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert library_duplicates(library.store) == ([], [])
    assert run(["library", "duplicates", str(tmp_path / "lib"), "--no-cache"]) == 0
    assert "no duplicates" in capsys.readouterr().out
    assert run(["library", "duplicates", str(tmp_path / "nowhere")]) == 2
