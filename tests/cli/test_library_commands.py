"""`clapgen library` and `clapgen search`, as users run them."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Result, assert_one_line, write_parts, write_tone

from clapgen.data.csv_cells import write_csv_rows
from clapgen.data.tables import table_rows

Command = Callable[..., Result]


@pytest.fixture
def sounds(here: Path) -> Path:
    """Three sounds with captions, tags and licences; the last is longer than the window of a second."""
    (here / "sounds").mkdir()
    write_tone(here / "sounds" / "DOORWood_Slow Creak_ANN.wav", 0.5, 300)
    write_tone(here / "sounds" / "b.wav", 0.7, 900)
    write_parts(here / "sounds" / "long.wav", (1.5, 200, 0.5), (1.0, 2000, 0.5))
    rows = [["b.wav", "a dog barks", "CC0"], ["long.wav", "wind, then a whistle", "CC-BY 4.0"]]
    write_csv_rows(here / "sounds" / "metadata.csv", ["file_name", "text", "license"], rows)
    return here / "sounds"


@pytest.fixture
def library(clapgen: Command, sounds: Path, model: Path) -> str:
    result = clapgen("library", "add", "lib", sounds, "--model", model, "--no-cache")
    assert (result.code, result.out) == (0, "lib: 3 added; 3 sounds in all\n"), result
    return "lib"


def test_a_library_from_beginning_to_end(clapgen: Command, library: str, sounds: Path, model: Path) -> None:
    again = clapgen("library", "add", library, "--no-cache", "--json")
    assert again.json == [
        {"library": "lib", "added": 0, "changed": 0, "described": 0, "unchanged": 3}
        | {"moved": [], "vanished": [], "skipped": [], "silent": [], "sounds": 3}
    ]
    (sounds / "b.wav").rename(sounds / "c.wav")
    (sounds / "long.wav").unlink()
    result = clapgen("library", "add", library, "--no-cache")
    assert result.out.splitlines() == [
        f"moved: {sounds / 'b.wav'} → {sounds / 'c.wav'}",
        f"vanished: {sounds / 'long.wav'}",
        "lib: 1 moved, 1 vanished, 1 unchanged; 2 sounds in all",
    ]
    [status] = clapgen("library", "status", library, "--json").json
    assert (status["sounds"], status["vanished"], status["folders"]) == (3, 1, [str(sounds)])
    assert status["model"] == str(model.resolve()) and status["tags"] == {"doorwood": 1}
    assert "1 " in clapgen("library", "status", library).out
    result = clapgen("library", "verify", library)
    assert result.code == 2 and f"{sounds / 'long.wav'} is gone" in result.out
    result = clapgen("library", "remove", library, "--vanished")
    assert result.out == "1 sound removed from lib, 2 left\n"
    assert clapgen("library", "verify", library, "--content").out == "lib is whole\n"


def test_search_by_text_and_by_sound(clapgen: Command, library: str, sounds: Path) -> None:
    by_text = clapgen("search", library, "rain", "--json")
    assert by_text.code == 0 and len(by_text.json) == 3
    assert [hit["rank"] for hit in by_text.json] == [1, 2, 3]
    scores = [hit["score"] for hit in by_text.json]
    assert scores == sorted(scores, reverse=True)
    by_path = {Path(hit["path"]).name: hit for hit in by_text.json}
    assert by_path["b.wav"]["captions"] == ["a dog barks"] and by_path["b.wav"]["licence"] == "CC0"
    door = by_path["DOORWood_Slow Creak_ANN.wav"]
    assert (door["category"], door["name"], door["author"]) == ("DOORWood", "Slow Creak", "ANN")
    assert by_path["b.wav"]["moments"] == [] and len(by_path["long.wav"]["moments"]) == 2
    by_sound = clapgen("search", library, sounds / "b.wav", "--json")
    assert {Path(hit["path"]).name for hit in by_sound.json} == set(by_path) - {"b.wav"}
    like = clapgen("search", library, "--like", sounds / "b.wav", "--json")
    assert like.json == by_sound.json
    both = clapgen(
        "search", library, "--text", "rain", "--like", sounds / "b.wav", "--weight", 0.3, "--without", "wind"
    )
    assert both.code == 0 and "DOORWood" in both.out


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--tag", "doorwood"], {"DOORWood_Slow Creak_ANN.wav"}),
        (["--licence", "cc-by"], {"long.wav"}),
        (["--min-seconds", 0.6], {"b.wav", "long.wav"}),
        (["--min-seconds", 0.6, "--max-seconds", 1], {"b.wav"}),
        (["--under", "sounds", "-k", 3], {"DOORWood_Slow Creak_ANN.wav", "b.wav", "long.wav"}),
    ],
)
def test_filters(clapgen: Command, library: str, options: list, found: set[str]) -> None:
    hits = clapgen("search", library, "rain", *options, "--json").json
    assert {Path(hit["path"]).name for hit in hits} == found


def test_words_and_a_thesaurus(clapgen: Command, library: str, here: Path) -> None:
    def first(*options: object) -> str:
        return Path(clapgen("search", library, *options, "--json").json[0]["path"]).name

    assert first("hound", "--words") == "b.wav"
    assert first("slow door", "--words").startswith("DOORWood")
    (here / "mine.json").write_text(json.dumps({"kettle": ["whistle"]}))
    assert first("a kettle", "--thesaurus", "mine.json") == "long.wav"
    assert len(clapgen("search", library, "hound", "--words", "--diverse", "--json").json) == 3


def test_what_was_found_for_other_programs(clapgen: Command, library: str, here: Path, sounds: Path) -> None:
    files = ("--csv", "out/a.csv", "--play-list", "list.m3u8", "--html", "page.html", "--copy-to", "copies")
    result = clapgen("search", library, "rain", *files, "--json")
    assert result.code == 0
    hits = result.json
    rows = [row for _, row in table_rows(here / "out" / "a.csv")]
    assert [row["path"] for row in rows] == [hit["path"] for hit in hits]
    lines = (here / "list.m3u8").read_text().splitlines()
    assert lines[0] == "#EXTM3U" and lines[2::2] == [os.path.relpath(hit["path"], here) for hit in hits]
    page = (here / "page.html").read_text()
    assert page.count("<audio") == 3 and "CC-BY 4.0" in page and "<script" not in page and "://" not in page
    names = {path.name for path in (here / "copies").iterdir()}
    assert names == {"DOORWood_Slow Creak_ANN.wav", "b.wav", "long.wav", "credits.csv"}
    credits = {row["file"]: row for _, row in table_rows(here / "copies" / "credits.csv")}
    assert credits["b.wav"]["licence"] == "CC0" and credits["DOORWood_Slow Creak_ANN.wav"]["author"] == "ANN"
    assert_one_line(clapgen("search", library, "rain", "--csv", "out/a.csv"), "already exists", "--force")


def test_copies_of_two_searches_share_a_folder(clapgen: Command, library: str, sounds: Path, here: Path) -> None:
    (sounds / "sub").mkdir()
    write_tone(sounds / "sub" / "b.wav", 0.4, 1500)
    assert clapgen("library", "add", library, "--no-cache").code == 0
    assert clapgen("search", library, "rain", "--licence", "cc0", "--copy-to", "copies").code == 0
    assert clapgen("search", library, "rain", "--under", "sounds/sub", "--copy-to", "copies").code == 0
    assert clapgen("search", library, "rain", "--copy-to", "copies").code == 0
    files = {path.name for path in (here / "copies").iterdir()}
    assert files == {"b.wav", "b-2.wav", "long.wav", "DOORWood_Slow Creak_ANN.wav", "credits.csv"}
    credits = [row["file"] for _, row in table_rows(here / "copies" / "credits.csv")]
    assert credits == sorted(files - {"credits.csv"})


def test_a_sound_that_is_gone_is_named_and_the_others_copied(
    clapgen: Command, library: str, sounds: Path, here: Path
) -> None:
    (sounds / "b.wav").unlink()
    result = clapgen("search", library, "rain", "--copy-to", "copies")
    assert result.code == 2 and "b.wav is gone" in result.err
    assert (here / "copies" / "long.wav").exists() and (here / "copies" / "credits.csv").exists()


def test_files_that_cannot_be_used_are_named(clapgen: Command, library: str, sounds: Path) -> None:
    (sounds / "broken.wav").write_bytes(b"nothing")
    result = clapgen("library", "add", library, "--no-cache")
    assert result.code == 2 and "3 sounds in all" in result.out
    first, last = result.err.splitlines()
    assert "skipped: " in first and "broken.wav" in first and "1 file could not be added" in last


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("search", "nowhere", "rain"), ("nowhere does not exist", "clapgen library add")),
        (("search", "sounds", "rain"), ("sounds is not a library",)),
        (("search", "lib"), ("nothing to search for",)),
        (("search", "lib", " "), ("empty",)),
        (("search", "lib", "rain", "-k", "4"), ("cannot find 4 sounds in a library of 3",)),
        (("search", "lib", "rain", "--like", "no.wav"), ("no.wav does not exist",)),
        (("search", "lib", "rain", "--weight", "2"), ("between 0 and 1",)),
        (("search", "lib", "rain", "--tag", "nothing"), ("no sound passes the filters",)),
        (("search", "lib", "rain", "--play-list", "x.txt"), (".m3u8",)),
        (("search", "lib", "--like", "sounds/b.wav", "--words"), ("needs a text",)),
        (("library", "add", "lib", "no-folder"), ("no-folder does not exist",)),
        (("library", "add", "other", "no-folder"), ("no-folder does not exist",)),
        (("library", "add", "sounds", "sounds/b.wav"), ("not a library and not an empty folder",)),
        (("library", "remove", "lib"), ("nothing to remove",)),
        (("library", "remove", "lib", "no.wav"), ("has no sound at", "no.wav")),
        (("library", "status", "nowhere"), ("nowhere does not exist",)),
    ],
)
def test_bad_input(clapgen: Command, library: str, here: Path, arguments: tuple, words: tuple) -> None:
    assert_one_line(clapgen(*arguments), *words)
    assert not (here / "other").exists() and not (here / "nowhere").exists()


def test_another_clap_is_refused_and_both_are_named(
    clapgen: Command, library: str, sounds: Path, other_model: Path
) -> None:
    for command in (("search", library, "rain"), ("library", "add", library, sounds)):
        assert_one_line(clapgen(*command, "--model", other_model), "tiny", str(other_model), "make a new library")
    assert clapgen("search", library, "rain").code == 0


def test_a_folder_that_is_away_is_not_taken_for_empty(clapgen: Command, library: str, sounds: Path) -> None:
    shutil.move(sounds, sounds.parent / "away")
    assert_one_line(clapgen("library", "add", library), "sounds was added to lib before, but is not there")
    assert [status["vanished"] for status in clapgen("library", "status", library, "--json").json] == [0]
