"""The captions that ship with a model: written, checked, copied along, and read from other files."""

import json
from pathlib import Path

import pytest

from clapgen.errors import ClapgenError
from clapgen.model_store import copy_part, part_hashes, save_part_file, verify_model
from clapgen.testing import tiny_model
from generation import TextToAudio
from generation.prompts import captions_from_file, captions_of_manifest, captions_of_model, save_captions
from generation.sidecars import PARTS

CAPTIONS = ["Rain falls on a roof", "A dog barks nearby"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "model")


def write_manifest(path: Path, *clips: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps({"path": f"{n}.wav", **clip}) + "\n" for n, clip in enumerate(clips)))
    return path


def test_a_model_keeps_its_captions_and_its_weights(model: Path, tmp_path: Path) -> None:
    before = part_hashes(model, PARTS)
    file = save_captions(model, CAPTIONS)
    assert file.read_text() == "Rain falls on a roof\nA dog barks nearby\n"
    assert captions_of_model(model) == CAPTIONS
    assert part_hashes(model, PARTS) == before
    assert not any(check.problem for check in verify_model(model))
    TextToAudio.from_pretrained(model)
    copy_part(model, tmp_path / "copy", "diffusion")
    assert captions_of_model(tmp_path / "copy") == CAPTIONS
    save_captions(model, CAPTIONS[:1])
    assert captions_of_model(model) == CAPTIONS[:1]


def test_a_changed_library_is_refused(model: Path) -> None:
    file = save_captions(model, CAPTIONS)
    file.write_text("Anything else\n")
    with pytest.raises(ClapgenError, match=r"captions\.txt is damaged or was changed"):
        captions_of_model(model)
    assert [check.file.name for check in verify_model(model) if check.problem] == ["captions.txt"]


def test_a_file_that_is_not_recorded_is_refused(model: Path) -> None:
    (model / "diffusion" / "captions.txt").write_text("Rain\n")
    with pytest.raises(ClapgenError, match="not listed in"):
        captions_of_model(model)


def test_adding_captions_does_not_vouch_for_other_files(model: Path) -> None:
    (model / "diffusion" / "config.yaml").write_text("changed")
    save_captions(model, CAPTIONS)
    assert [check.file.name for check in verify_model(model) if check.problem] == ["config.yaml"]


def test_a_model_without_captions_says_how_to_give_some(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ClapgenError, match=r"--exemplars FILE.*clapgen models captions .*model --manifest FILE"):
        captions_of_model(model)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ClapgenError, match="no part diffusion/"):
        save_part_file(tmp_path / "empty", "diffusion", "captions.txt", b"Rain\n")


def test_only_free_training_clips_lend_their_captions(tmp_path: Path) -> None:
    manifest = write_manifest(
        tmp_path / "manifest.jsonl",
        {"captions": ["rain  falls.", "Rain falls"], "split": "train", "free": True},
        {"captions": ["A dog barks"], "free": True, "copyleft": "gpl"},
        {"captions": ["A cat meows"]},
        {"captions": ["Wind howls"], "split": "train", "free": False},
        {"captions": ["Thunder rumbles"], "split": "val", "free": True},
    )
    assert captions_of_manifest(manifest) == ["Rain falls", "A dog barks", "A cat meows"]
    assert captions_of_manifest(manifest, exclude_copyleft=["gpl"]) == ["Rain falls", "A cat meows"]
    assert captions_of_manifest(manifest, free_only=False)[-1] == "Wind howls"
    assert captions_of_manifest(manifest, split="val") == ["A dog barks", "A cat meows", "Thunder rumbles"]


def test_a_manifest_without_free_captions_is_an_error(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "manifest.jsonl", {"captions": ["Wind howls"], "free": False})
    with pytest.raises(ClapgenError, match="no captions of clips to train on that are free"):
        captions_of_manifest(manifest)


def test_exemplars_come_from_text_and_manifests(tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text("rain falls.\n\nA dog barks\nRain falls\n")
    assert captions_from_file(tmp_path / "captions.txt") == ["Rain falls", "A dog barks"]
    manifest = write_manifest(tmp_path / "clips.jsonl", {"captions": CAPTIONS}, {"captions": ["X y"], "split": "val"})
    assert captions_from_file(manifest) == CAPTIONS
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(ClapgenError, match="no usable sentence"):
        captions_from_file(tmp_path / "empty.txt")
