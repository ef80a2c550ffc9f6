"""Each corpus, in miniature but laid out as published, becomes the manifest one would write by hand."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clapgen.data.manifest import Clip, read_manifest
from clapgen.errors import ClapgenError
from pretrain.data.corpora import CORPORA, allows_commercial_use, write_manifest


def audio(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(80) + 0.1, 8000)
    return path


def table(path: Path, *rows: Sequence[object], encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows(rows)
    return path


def manifest_of(layout: str, folder: Path) -> tuple[list[Clip], list[str]]:
    output = folder.parent / f"{layout}.jsonl"
    found = write_manifest(layout, folder, output)
    clips = read_manifest(output)
    assert clips == found.clips
    return clips, found.missing


AUDIOCAPS = ("audiocap_id", "youtube_id", "start_time", "caption")


@pytest.mark.parametrize(
    "name", ["train/-abc_30.wav", "train/-abc.flac", "wavs/Y-abc.wav", "train/91139.wav", "Y-abc_30.ogg"]
)
def test_audiocaps_finds_audio_by_every_usual_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "AudioCaps"
    table(folder / "dataset/train.csv", AUDIOCAPS, (91139, "-abc", 30, "Rain, falling"), (5, "gone", 0, "Wind"))
    path = audio(folder / name)
    clips, missing = manifest_of("audiocaps", folder)
    extra = {"start_time": "30"}
    assert clips == [Clip(path, ["Rain, falling"], [], "youtube:-abc", None, "train", False, extra)]
    assert missing == ["gone_0"]


def test_audiocaps_joins_the_five_captions_of_a_clip_and_keeps_splits_apart(tmp_path: Path) -> None:
    folder = tmp_path / "AudioCaps"
    table(folder / "test.csv", AUDIOCAPS, *((n, "xyz", 5, f"Caption {n}") for n in range(5)))
    table(folder / "val.csv", AUDIOCAPS, (9, "other", 5, "A cat"), (10, "xyz", 60, "Later in the same video"))
    for name in ("val/other.wav", "test/xyz.wav", "val/xyz.wav"):
        audio(folder / name)
    clips, missing = manifest_of("audiocaps", folder)
    assert [(clip.split, str(clip.path.relative_to(folder)), len(clip.captions)) for clip in clips] == [
        ("val", "val/other.wav", 1),
        ("val", "val/xyz.wav", 1),
        ("test", "test/xyz.wav", 5),
    ]
    assert missing == []


CLOTHO_METADATA = ("file_name", "keywords", "sound_id", "sound_link", "start_end_samples", "manufacturer", "license")


def test_clotho(tmp_path: Path) -> None:
    folder = tmp_path / "clotho"
    captions = ("file_name", *(f"caption_{n}" for n in range(1, 6)))
    by = "http://creativecommons.org/licenses/by/3.0/"
    table(folder / "clotho_captions_development.csv", captions, ("Rain – 1.wav", "a", "b", "c", "d", "e"))
    table(folder / "clotho_captions_evaluation.csv", captions, ("x.wav", *"abcde"), ("gone.wav", *"abcde"))
    table(
        folder / "clotho_metadata_evaluation.csv",
        CLOTHO_METADATA,
        ("x.wav", "café;rain", "123", "", "", "Müller", by),
        encoding="latin-1",
    )
    first = audio(folder / "clotho_audio_files/development/Rain – 1.wav")
    audio(folder / "clotho_audio_files/development/x.wav")
    second = audio(folder / "clotho_audio_files/evaluation/x.wav")
    clips, missing = manifest_of("clotho", folder)
    assert clips == [
        Clip(first, list("abcde"), split="train", free=False),
        Clip(second, list("abcde"), ["café", "rain"], "freesound:123", by, "test", False),
    ]
    assert missing == ["gone.wav"]


def test_wavcaps_tells_its_sources_apart(tmp_path: Path) -> None:
    folder = tmp_path / "WavCaps"

    def metadata(name: str, *entries: dict[str, object]) -> None:
        path = folder / "json_files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"num_captions_per_audio": 1, "data": entries}))

    metadata("FreeSound/../fsd_final.json", {"id": "12", "caption": "Rain falls.", "tags": ["rain"], "duration": 3})
    metadata("sb_final.json", {"id": "12", "caption": "A bell rings."}, {"id": "13", "caption": "Gone."})
    metadata("as_final.json", {"id": "Yabc-_.wav", "caption": "A car passes."})
    freesound = audio(folder / "Zip_files/FreeSound/mnt/FreeSound_flac/12.flac")
    soundbible = audio(folder / "Zip_files/SoundBible/mnt/SoundBible_flac/12.flac")
    audioset = audio(folder / "Zip_files/AudioSet_SL/Yabc-_.flac")
    clips, missing = manifest_of("wavcaps", folder)
    assert clips == [
        Clip(audioset, ["A car passes."], [], "youtube:abc-_", None, "train", False),
        Clip(freesound, ["Rain falls."], ["rain"], "freesound:12", None, "train", False),
        Clip(soundbible, ["A bell rings."], [], "soundbible:12", None, "train", False),
    ]
    assert missing == ["SoundBible/13"]


def test_wavcaps_captions_that_are_null_or_empty_are_none(tmp_path: Path) -> None:
    folder = tmp_path / "WavCaps"
    entries = [{"id": str(n), "caption": caption} for n, caption in enumerate(["Rain falls.", None, "", " "])]
    folder.mkdir()
    (folder / "sb_final.json").write_text(json.dumps({"data": entries}))
    for entry in entries:
        audio(folder / f"SoundBible/{entry['id']}.flac")
    clips, _ = manifest_of("wavcaps", folder)
    assert [clip.captions for clip in clips] == [["Rain falls."], [], [], []]
    (folder / "sb_final.json").write_text(json.dumps({"data": [{"id": "0", "caption": ["a"]}]}))
    with pytest.raises(ClapgenError, match=r"sb_final\.json: entry 0 has the caption \['a'\]"):
        write_manifest("wavcaps", folder, tmp_path / "other.jsonl")


def make_fsd50k(folder: Path, labels: str = "Harp,Musical_instrument") -> None:
    truth = folder / "FSD50K.ground_truth"
    table(
        truth / "dev.csv",
        ("fname", "labels", "mids", "split"),
        (64760, labels, "/m/1,/m/2", "val"),
        (2, "Harp", 0, "train"),
    )
    table(truth / "eval.csv", ("fname", "labels", "mids"), (37199, "Harp", "/m/1"))
    table(truth / "vocabulary.csv", (0, "Harp", "/m/1"), (1, "Musical_instrument", "/m/2"))
    metadata = folder / "FSD50K.metadata"
    metadata.mkdir(exist_ok=True)
    by = {"64760": {"title": "x", "license": "http://creativecommons.org/licenses/by/3.0/"}}
    (metadata / "dev_clips_info_FSD50K.json").write_text(json.dumps(by))
    audio(folder / "FSD50K.dev_audio/64760.wav")
    audio(folder / "FSD50K.eval_audio/37199.wav")


def test_fsd50k(tmp_path: Path) -> None:
    folder = tmp_path / "FSD50K"
    make_fsd50k(folder)
    first, second = manifest_of("fsd50k", folder)[0]
    assert first.path == folder / "FSD50K.dev_audio/64760.wav"
    assert (first.labels, first.split, first.free) == (["harp", "musical instrument"], "val", True)
    assert (second.labels, second.split, second.free, second.recording) == (["harp"], "test", None, "freesound:37199")
    assert write_manifest("fsd50k", folder, tmp_path / "again.jsonl").missing == ["2"]


def test_fsd50k_labels_must_be_in_the_vocabulary(tmp_path: Path) -> None:
    make_fsd50k(tmp_path / "FSD50K", labels="Harp,Hrap")
    with pytest.raises(ClapgenError, match=r"dev\.csv.*'Hrap'"):
        write_manifest("fsd50k", tmp_path / "FSD50K", tmp_path / "m.jsonl")


ESC50 = ("filename", "fold", "target", "category", "esc10", "src_file", "take")


def test_esc50(tmp_path: Path) -> None:
    folder = tmp_path / "ESC-50-master"
    rows = [(f"{fold}-1{fold}-A-0.wav", fold, 0, "crying_baby", "True", f"1{fold}", "A") for fold in range(1, 6)]
    table(folder / "meta/esc50.csv", ESC50, *rows)
    for row in rows[1:]:
        audio(folder / "audio" / row[0])
    clips, missing = manifest_of("esc50", folder)
    assert missing == ["1-11-A-0.wav"]
    assert [clip.split for clip in clips] == ["train", "train", "val", "test"]
    assert clips[0].labels == ["crying baby"]
    assert clips[0].extra == {"esc50_class": "crying_baby", "fold": 2}
    assert clips[0].recording == "freesound:12"


@pytest.mark.parametrize("layout", CORPORA.names())
def test_a_folder_of_something_else_is_an_error_that_says_so(tmp_path: Path, layout: str) -> None:
    audio(tmp_path / "corpus" / "a.wav")
    with pytest.raises(ClapgenError, match=f"does not contain {layout}"):
        write_manifest(layout, tmp_path / "corpus", tmp_path / "m.jsonl")
    with pytest.raises(ClapgenError, match="nowhere"):
        write_manifest(layout, tmp_path / "nowhere", tmp_path / "m.jsonl")
    assert not (tmp_path / "m.jsonl").exists()


def test_a_corpus_without_any_of_its_audio_is_an_error(tmp_path: Path) -> None:
    table(tmp_path / "c/meta/esc50.csv", ESC50, ("a.wav", 1, 0, "dog", "True", "1", "A"))
    with pytest.raises(ClapgenError, match=r"none of the 1 audio files.*a\.wav"):
        write_manifest("esc50", tmp_path / "c", tmp_path / "m.jsonl")


def test_damaged_tables_are_named(tmp_path: Path) -> None:
    table(tmp_path / "a/esc50.csv", ("filename", "fold"), ("a.wav", 1))
    with pytest.raises(ClapgenError, match=r"esc50\.csv:1: no column 'category'"):
        write_manifest("esc50", tmp_path / "a", tmp_path / "m.jsonl")
    table(tmp_path / "b/train.csv", AUDIOCAPS, (1, "abc"))
    with pytest.raises(ClapgenError, match=r"train\.csv:2"):
        write_manifest("audiocaps", tmp_path / "b", tmp_path / "m.jsonl")
    (tmp_path / "c").mkdir()
    (tmp_path / "c/sb_final.json").write_text("{")
    with pytest.raises(ClapgenError, match=r"sb_final\.json is not valid JSON"):
        write_manifest("wavcaps", tmp_path / "c", tmp_path / "m.jsonl")


def test_unknown_layouts_suggest_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ClapgenError, match="Did you mean 'audiocaps'"):
        write_manifest("audiocap", tmp_path, tmp_path / "m.jsonl")


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        ("http://creativecommons.org/publicdomain/zero/1.0/", True),
        ("http://creativecommons.org/licenses/by/3.0/", True),
        ("https://creativecommons.org/licenses/by-sa/4.0/", True),
        ("CC0", True),
        ("Attribution", True),
        ("CC-BY-4.0", True),
        ("http://creativecommons.org/licenses/by-nc/3.0/", False),
        ("Attribution NonCommercial", False),
        ("Attribution Noncommercial 4.0", False),
        ("http://creativecommons.org/licenses/sampling+/1.0/", False),
        ("CC BY-NC-ND", False),
        ("all rights reserved", False),
    ],
)
def test_licences(licence: str, free: bool) -> None:
    assert allows_commercial_use(licence) is free
