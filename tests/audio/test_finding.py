"""Folders are searched for sounds, and what is left out is counted."""

import os
from pathlib import Path

import pytest

from clapgen.audio.finding import find_audio, search_audio
from clapgen.errors import ClapgenError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def relative(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in find_audio([folder])]


def test_a_folder_is_searched_by_suffix_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "b.WAV", "a/c.mp3", "video.mp4", "talk.m4a", ".hidden.wav", ".git/d.wav", "a/._c.mp3")
    assert relative(tmp_path) == ["a/c.mp3", "b.WAV", "talk.m4a", "video.mp4"]
    assert find_audio([tmp_path / ".hidden.wav"]) == [tmp_path / ".hidden.wav"]  # given itself


def test_what_is_left_out_is_counted_but_not_what_belongs_to_a_sound(tmp_path: Path) -> None:
    touch(tmp_path, "rain.wav", "rain.json", "rain.png", "notes.txt", "more.TXT", "README", "cover.jpg")
    found = search_audio([tmp_path])
    assert found.left_out == {".txt": 2, "": 1, ".jpg": 1}
    assert found.summary().startswith("left out 4 files that are not audio by suffix (2 .txt, ")
    assert "1 .jpg" in found.summary()
    assert "1 without a suffix" in found.summary()
    assert search_audio([tmp_path / "rain.wav"]).summary() == ""


def test_linked_folders_are_entered_once_and_loops_end(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "a.wav")
    (tmp_path / "sounds").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "sounds" / "linked")
    os.symlink(tmp_path / "elsewhere", tmp_path / "sounds" / "linked-again")
    os.symlink(tmp_path / "sounds", tmp_path / "elsewhere" / "loop")
    assert relative(tmp_path / "sounds") == ["linked/a.wav"]


def test_a_pattern_that_no_shell_expanded_is_expanded(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.wav", "c[1].wav", "d.txt")
    assert [path.name for path in find_audio([tmp_path / "*.wav"])] == ["a.wav", "b.wav", "c[1].wav"]
    assert [path.name for path in find_audio([tmp_path / "c[1].wav"])] == ["c[1].wav"]


def test_missing_paths_and_folders_without_sounds_are_errors(tmp_path: Path) -> None:
    touch(tmp_path, "a.txt")
    with pytest.raises(ClapgenError, match="does not exist"):
        find_audio([tmp_path / "none.wav"])
    with pytest.raises(ClapgenError, match="does not exist"):
        find_audio([tmp_path / "*.wav"])
    with pytest.raises(ClapgenError, match="contains no audio files"):
        find_audio([tmp_path])
