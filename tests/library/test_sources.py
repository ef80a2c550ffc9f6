"""What is said about sounds: manifests, text files, tags in files, and UCS names."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clapgen.library import Description, Library
from clapgen.library.sources import find_sources
from clapgen.library.tags import read_tags
from clapgen.library.ucs import parse_ucs

Write = Callable[..., Path]


def descriptions(library: Library) -> dict[str, Description]:
    return {sound.path.name: sound.description for sound in library.store.all_sounds()}


def test_a_manifest_describes_its_sounds(library: Library, sounds: Path) -> None:
    line = {"path": "a.wav", "captions": ["a door"], "labels": ["door", "wood"], "licence": "CC0", "author": "Ann"}
    (sounds / "list.jsonl").write_text(json.dumps({**line, "recording": "x:1", "url": "http://x"}) + "\n")
    library.add(sounds / "list.jsonl")
    expected = Description(("a door",), ("door", "wood"), "CC0", "Ann", None, None, "x:1", {"url": "http://x"})
    assert descriptions(library) == {"a.wav": expected}


def test_a_changed_description_is_taken_without_embedding(library: Library, sounds: Path) -> None:
    (sounds / "a.txt").write_text("a dog barks\nbarking\n")
    library.add(sounds)
    assert descriptions(library)["a.wav"].captions == ("a dog barks", "barking")
    (sounds / "a.txt").write_text("a cat\n")
    report = library.add(sounds)
    assert (report.described, report.unchanged, report.added) == (1, 2, 0)
    assert descriptions(library)["a.wav"].captions == ("a cat",)
    (sounds / "a.txt").unlink()  # nothing is said now: what was said stays
    assert library.add(sounds).unchanged == 3
    assert descriptions(library)["a.wav"].captions == ("a cat",)


def test_audiofolder_metadata_describes_subfolders(library: Library, sounds: Path) -> None:
    (sounds / "metadata.csv").write_text("file_name,text,license\nsub/long.wav,a long noise,CC-BY\na.wav,short,\n")
    library.add(sounds)
    about = descriptions(library)
    assert (about["long.wav"].captions, about["long.wav"].licence) == (("a long noise",), "CC-BY")
    assert about["a.wav"].captions == ("short",) and about["b.wav"].captions == ()


def test_a_broken_metadata_file_is_named_and_the_sounds_are_added(sounds: Path) -> None:
    (sounds / "metadata.jsonl").write_text("{}\n")
    found = find_sources([sounds])
    assert len(found.files) == 3
    assert any("metadata.jsonl is not used" in remark for remark in found.remarks)


@pytest.mark.parametrize(
    ("stem", "parts"),
    [
        ("DOORWood_Creak Slow_ABC_LIB", ("DOORWood", None, "Creak Slow", "ABC", "LIB", None)),
        ("AMBUrbn-NIGHT_Street_XY_Z_take_2", ("AMBUrbn", "NIGHT", "Street", "XY", "Z", "take_2")),
        ("UIClick_Tick", ("UIClick", None, "Tick", None, None, None)),
    ],
)
def test_ucs_names(stem: str, parts: tuple) -> None:
    found = parse_ucs(stem)
    assert found is not None
    assert (found.category, found.user_category, found.name, found.creator, found.source, found.user_data) == parts


@pytest.mark.parametrize("stem", ["recording_1", "Rain", "2024_rain", "RAIN", "DOORWood", "1-100032-A_dog"])
def test_other_names_are_not_ucs(stem: str) -> None:
    assert parse_ucs(stem) is None


def chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def with_chunks(path: Path, *chunks: bytes) -> Path:
    soundfile.write(path, np.full(100, 0.1), 8000)
    content = path.read_bytes() + b"".join(chunks)
    path.write_bytes(content[:4] + struct.pack("<I", len(content) - 8) + content[8:])
    return path


def test_what_editors_write_into_wav_is_read(tmp_path: Path) -> None:
    bext = chunk(b"bext", b"Door creaks\0".ljust(256, b"\0") + b"Ann\0".ljust(32, b"\0") + b"\0" * 314)
    info = chunk(b"LIST", b"INFO" + chunk(b"IKEY", b"wood; creak\0") + chunk(b"ICOP", b"CC BY 4.0\0"))
    xml = b"<BWFXML><USER><CATID>DOORWood</CATID><FXNAME>Old Door</FXNAME></USER></BWFXML>"
    path = with_chunks(tmp_path / "x.wav", bext, info, chunk(b"iXML", xml))
    assert read_tags(path) == Description(
        ("Door creaks",), ("wood", "creak"), "CC BY 4.0", "Ann", category="DOORWood", name="Old Door"
    )
    soundfile.read(path)  # the file is still a sound


@pytest.mark.parametrize(
    "content",
    [
        chunk(b"iXML", b'<!DOCTYPE a [<!ENTITY b "bbbb">]><BWFXML><NOTE>&b;</NOTE></BWFXML>'),
        chunk(b"iXML", b"<BWFXML><NOTE>"),
        chunk(b"LIST", b"INFO" + b"IKEY\xff\xff\xff\xff"),
        b"bext\xff\xff\xff\x7f",
        chunk(b"bext", b""),
    ],
)
def test_damaged_or_dangerous_chunks_are_ignored(tmp_path: Path, content: bytes) -> None:
    assert read_tags(with_chunks(tmp_path / "x.wav", content)) == Description()


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3"])
def test_tags_of_other_formats_are_read(tmp_path: Path, suffix: str) -> None:
    mutagen = pytest.importorskip("mutagen")
    path = tmp_path / f"WATRWave_Beach_AB.{suffix}"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 8000), 8000)
    file = mutagen.File(path, easy=True)
    if file.tags is None:
        file.add_tags()
    file.tags["title"], file.tags["artist"], file.tags["genre"] = "Waves on a beach", "Bea", "water"
    file.tags["copyright"] = "CC0"
    file.save()
    expected = Description(("Waves on a beach",), ("water",), "CC0", "Bea", category="WATRWave", name="Beach")
    assert read_tags(path) == expected


def test_a_manifest_counts_more_than_the_file(library: Library, tmp_path: Path) -> None:
    info = chunk(b"LIST", b"INFO" + chunk(b"ICMT", b"from the file\0") + chunk(b"IGNR", b"noise\0"))
    with_chunks(tmp_path / "sounds.wav", info)
    (tmp_path / "list.csv").write_text("path,caption,labels\nsounds.wav,from the list,rain\n")
    library.add(tmp_path / "list.csv")
    about = descriptions(library)["sounds.wav"]
    assert (about.captions, about.tags) == (("from the list",), ("rain", "noise"))
