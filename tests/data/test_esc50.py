"""ESC-50 is read in the layout of its authors, and errors name the problem."""

from pathlib import Path

import pytest

from clapgen.data.esc50 import ESC50_LABELS, read_esc50
from clapgen.errors import ClapgenError

HEADER = "filename,fold,target,category,esc10,src_file,take\n"


def make_esc50(folder: Path, table: str, audio: list[str]) -> Path:
    for name in ("meta", "audio"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "meta/esc50.csv").write_text(table, encoding="utf-8")
    for name in audio:
        (folder / "audio" / name).touch()
    return folder


def test_clips_carry_class_fold_and_recording(tmp_path: Path):
    rows = "1-100032-A-0.wav,1,0,dog,True,100032,A\n5-9032-B-20.wav,5,20,crying_baby,True,9032,B\n"
    rows += "2-5-A-1.wav,2,1,rooster,True,5,A\n"
    folder = make_esc50(tmp_path, HEADER + rows, ["1-100032-A-0.wav", "5-9032-B-20.flac", "notes.txt"])
    clips, missing = read_esc50(folder)
    assert missing == ["2-5-A-1.wav"]
    assert clips[0].path == folder / "audio/1-100032-A-0.wav" and clips[0].extra == {"esc50_class": "dog", "fold": 1}
    assert clips[1].path.suffix == ".flac" and clips[1].labels == ["crying baby"]
    assert clips[1].recording == "freesound:9032" and clips[1].split == "test"


LICENSE = """## Licensing/attribution details for individual clips:

101 - Dog:
- [1-100032-A.ogg]: from bark (two).wav (http://www.freesound.org/people/nfrae/sounds/100032/) by nfrae [CC0]
- [5-9032-B.ogg]:  from Dog bark2.wav (http://www.freesound.org/people/Bobby%20B/sounds/9032/) by Bobby B [CC-BY-NC]
"""
ROWS = "1-100032-A-0.wav,1,0,dog,False,100032,A\n5-9032-B-20.wav,5,20,crying_baby,True,9032,B\n"


def test_a_clip_is_free_if_its_own_licence_is(tmp_path: Path):
    folder = make_esc50(tmp_path, HEADER + ROWS, ["1-100032-A-0.wav", "5-9032-B-20.wav"])
    (folder / "LICENSE").write_text(LICENSE)
    (dog, baby), _ = read_esc50(folder)
    assert (dog.free, baby.free) == (True, False)
    assert dog.licence.startswith("CC0 ") and baby.licence.startswith("CC-BY-NC ") and "collection" in dog.licence
    assert dog.extra["author"] == "nfrae" and baby.extra["author"] == "Bobby B"
    assert dog.extra["url"] == "http://www.freesound.org/people/nfrae/sounds/100032/"


def test_without_the_licences_only_esc10_is_free(tmp_path: Path):
    (dog, baby), _ = read_esc50(make_esc50(tmp_path, HEADER + ROWS, ["1-100032-A-0.wav", "5-9032-B-20.wav"]))
    assert (dog.free, dog.licence) == (False, "CC-BY-NC-3.0") and (baby.free, baby.licence) == (True, "CC-BY-3.0")


def test_errors_name_what_is_wrong(tmp_path: Path):
    with pytest.raises(ClapgenError, match=r"is not ESC-50: there is no .*meta/esc50\.csv"):
        read_esc50(tmp_path)
    with pytest.raises(ClapgenError, match="no column 'category'"):
        read_esc50(make_esc50(tmp_path, "filename,fold\na.wav,1\n", []))
    with pytest.raises(ClapgenError, match=r"esc50\.csv:2: the row has 2 cells"):
        read_esc50(make_esc50(tmp_path, HEADER + "a.wav,1\n", ["a.wav"]))
    with pytest.raises(ClapgenError, match=r"a\.wav is in fold '6'"):
        read_esc50(make_esc50(tmp_path, HEADER + "a.wav,6,0,dog,True,1,A\n", ["a.wav"]))
    with pytest.raises(ClapgenError, match="holds none of the 1 clips"):
        read_esc50(make_esc50(tmp_path, HEADER + "b.wav,1,0,dog,True,1,A\n", []))


def test_there_are_fifty_classes() -> None:
    assert len(set(ESC50_LABELS)) == 50
