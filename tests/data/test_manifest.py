"""Manifests are read as they were written, and errors name the line."""

import csv
import io
import json
from pathlib import Path

import pytest

from clapgen.data.manifest import Clip, read_manifest, save_manifest, training_clips
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
    with pytest.raises(ClapgenError, match=r"ends in \.jsonl"):
        save_manifest(clips, tmp_path / "m.csv")  # would be read as a table


TABLE = """file_name,caption_1,caption_2,labels,split,free,copyleft
a.wav,"Rain, heavy",Rain falls,rain;weather,train,true,
b.wav,A dog barks,,,val,no,gpl
a.wav,It rains,,rain,train,true,
"""


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_a_table_of_paths_and_captions_is_a_manifest(tmp_path: Path, suffix: str) -> None:
    table = tmp_path / f"metadata{suffix}"
    rows = csv.reader(io.StringIO(TABLE))
    with open(table, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t" if suffix == ".tsv" else ",").writerows(rows)
    captions = ["Rain, heavy", "Rain falls", "It rains"]
    assert read_manifest(table) == [
        Clip(tmp_path / "a.wav", captions, ["rain", "weather"], split="train", free=True),
        Clip(tmp_path / "b.wav", ["A dog barks"], split="val", free=False, extra={"copyleft": "gpl"}),
    ]


def test_a_plain_table_needs_a_path_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path,caption\n/data/rain.wav,Rain\n")
    assert read_manifest(tmp_path / "a.csv") == [Clip(Path("/data/rain.wav"), ["Rain"])]
    (tmp_path / "a.csv").write_text("sound,caption\nrain.wav,Rain\n")
    with pytest.raises(ClapgenError, match=r"a\.csv:1: no column 'path' \(or 'file_name'"):
        read_manifest(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("path,free\nrain.wav,perhaps\n")
    with pytest.raises(ClapgenError, match=r'a\.csv:2: "free" must be true or false'):
        read_manifest(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text('path,caption\nrain.wav,Rain\nwind.wav,"Wind says\ndog.wav,A dog\n')
    with pytest.raises(ClapgenError, match=r"a\.csv:3: .*double quote left open"):
        read_manifest(tmp_path / "a.csv")


def test_the_lines_of_an_audiofolder_are_a_manifest(tmp_path: Path) -> None:
    manifest = write_lines(tmp_path / "metadata.jsonl", {"file_name": "a.wav", "caption": "Rain", "rate": 8000})
    assert read_manifest(manifest) == [Clip(tmp_path / "a.wav", ["Rain"], extra={"rate": 8000})]


def test_kinds_of_copyleft_can_be_left_out_of_training(tmp_path: Path) -> None:
    kinds = ["gpl", "sharealike", None]
    manifest = write_lines(tmp_path / "m.jsonl", *({"path": f"{kind}.wav", "copyleft": kind} for kind in kinds))

    def names(*exclude: str) -> list[str]:
        return [clip.path.stem for clip in training_clips(manifest, exclude_copyleft=exclude)]

    assert names() == ["gpl", "sharealike", "None"]
    assert names("gpl") == ["sharealike", "None"] and names("GPL", "sharealike") == ["None"]
    only = write_lines(tmp_path / "only.jsonl", {"path": "a.wav", "copyleft": "gpl"})
    with pytest.raises(ClapgenError, match="only clips that exclude_copyleft=gpl leaves out"):
        training_clips(only, exclude_copyleft=["gpl"])
