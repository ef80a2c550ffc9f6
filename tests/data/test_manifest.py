"""Manifests are read as they were written, and errors name the line."""

import json
from pathlib import Path

import pytest

from clapgen.data.manifest import Clip, read_manifest, save_manifest
from clapgen.errors import ClapgenError


def write_lines(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return path


def test_manifest_resolves_paths_against_its_own_folder_and_keeps_unknown_keys(tmp_path: Path) -> None:
    manifest = write_lines(
        tmp_path / "corpus.jsonl",
        {"path": "audio/a.wav", "captions": ["Rain"], "labels": ["rain"], "free": True, "fold": 4},
        "",
        {"path": "/elsewhere/b.wav", "recording": None, "split": "val"},
    )
    first, second = read_manifest(manifest)
    assert first == Clip(tmp_path / "audio/a.wav", ["Rain"], ["rain"], free=True, extra={"fold": 4})
    assert second == Clip(Path("/elsewhere/b.wav"), split="val")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{not json", "JSON"),
        ("[1, 2]", "object"),
        ('{"captions": ["Rain"]}', '"path"'),
        ('{"path": 3}', '"path"'),
        ('{"path": "a.wav", "captions": "Rain"}', '"captions"'),
        ('{"path": "a.wav", "labels": [1]}', '"labels"'),
        ('{"path": "a.wav", "free": "yes"}', '"free"'),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(tmp_path: Path, line: str, complaint: str) -> None:
    manifest = write_lines(tmp_path / "m.jsonl", {"path": "a.wav"}, "", line)
    with pytest.raises(ClapgenError) as error:
        read_manifest(manifest)
    assert f"{manifest}:3" in str(error.value)
    assert complaint in str(error.value)


def test_bytes_that_are_not_text_are_a_bad_line(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_bytes(b'{"path": "a.wav"}\n{"path": "\xff\xfe.wav"}\n')
    with pytest.raises(ClapgenError, match=r"m\.jsonl:2"):
        read_manifest(tmp_path / "m.jsonl")


def test_missing_or_empty_manifests_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ClapgenError, match=r"none\.jsonl"):
        read_manifest(tmp_path / "none.jsonl")
    with pytest.raises(ClapgenError, match="no clips"):
        read_manifest(write_lines(tmp_path / "empty.jsonl", "", ""))


def test_save_then_read_gives_the_same_clips_and_relative_paths(tmp_path: Path) -> None:
    clips = [
        Clip(tmp_path / "sub/a.wav", ["Été à la mer"], ["sea"], "rec:1", "CC0", "train", True, {"fold": 1}),
        Clip(Path("/elsewhere/b.wav")),
    ]
    assert save_manifest(clips, tmp_path / "m.jsonl") == 2
    assert json.loads((tmp_path / "m.jsonl").read_text(encoding="utf-8").splitlines()[0])["path"] == "sub/a.wav"
    assert read_manifest(tmp_path / "m.jsonl") == clips
    with pytest.raises(ClapgenError, match="exists"):
        save_manifest(clips, tmp_path / "m.jsonl")
