"""`clapgen models`: the list, the cards, and the checksums."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Result, assert_one_line

from clapgen import model_store

Command = Callable[..., Result]


def test_list_and_show(clapgen: Command, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_store, "BUNDLED_MODELS", model.parent)
    assert "tiny" in clapgen("models").out
    [listed] = clapgen("models", "--json").json
    assert listed["parts"] == model_store.part_hashes(model, ["autoencoder", "clap", "diffusion"])
    assert clapgen("models", "show", "tiny").out.startswith("# tiny")
    monkeypatch.setattr(model_store, "BUNDLED_MODELS", model.parent / "nowhere")
    assert "includes no models" in clapgen("models").out


def test_parts_that_do_not_fit_are_noticed_and_not_joined(
    clapgen: Command, model: Path, other_model: Path, here: Path
) -> None:
    assert clapgen("models", "join", model, model, model, "-o", "joined") == Result(0, "joined\n", "")
    assert clapgen("models", "verify", "joined").code == 0
    assert clapgen("generate", "rain", "-m", "joined", "--seconds", 0.5, "--steps", 1).code == 0
    assert_one_line(clapgen("models", "join", model, model, other_model, "-o", "wrong"), "do not fit", "clap")
    assert_one_line(clapgen("models", "join", model, here, model, "-o", "wrong"), "autoencoder", "missing")
    assert_one_line(clapgen("models", "join", model, model, model, "-o", "joined"), "already exists")
    assert sorted(path.name for path in here.iterdir() if path.is_dir()) == ["joined"]
    model_store.copy_part(other_model, here / "joined", "clap")
    result = clapgen("models", "verify", "joined")
    assert result.code == 2 and "do not fit" in result.err and "clap" in result.err


def test_verify_names_the_damaged_file_and_records_a_change(clapgen: Command, model: Path, here: Path) -> None:
    shutil.copytree(model, here / "copy")
    assert clapgen("models", "verify", "copy").code == 0
    config = here / "copy" / "clap" / "config.yaml"
    config.write_text(config.read_text() + "# a comment\n")
    result = clapgen("models", "verify", "copy", "--json")
    assert result.code == 2
    assert [line["path"] for line in result.json if not line["ok"]] == ["copy/clap/config.yaml"]
    assert "failed the checksum" in result.err and "copy/clap/config.yaml" in result.err
    assert clapgen("models", "verify", "copy", "--record").code == 0
    assert clapgen("models", "verify", "copy").code == 0
