"""`clapgen models`: the list, the cards, and the checksums."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Result

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
