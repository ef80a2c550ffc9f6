"""Public checkpoints by name: seen from their files, from the hub's cache, and one clear line where there are none."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from tiny_laion import laion

from clapgen.cli import run
from clapgen.embedders import is_public, load_clap, load_embedder, needs_hub
from clapgen.embedders.checkpoints import find_checkpoint, is_hub_name
from clapgen.embedders.laion import LaionClap
from clapgen.errors import ClapgenError
from clapgen.testing import tiny_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, which cannot be reached."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def cached(hub_cache: Path, name: str) -> Path:
    """The folder of a model's snapshot, as the hub's client lays it out."""
    folder = hub_cache / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    return folder / "snapshots" / COMMIT


def test_a_folder_needs_no_prefix(tmp_path: Path) -> None:
    folder = laion(tmp_path / "clap")
    embedder = load_clap(folder)
    assert isinstance(embedder, LaionClap)
    assert embedder.hash == load_clap(f"laion:{folder}").hash
    assert is_public(str(folder))
    own = str(tiny_model(tmp_path / "own"))
    assert not is_public(own)
    assert not is_public("default")
    assert is_public(f"{own},window=first")
    assert is_public("laion/clap-htsat-unfused")


def test_a_folder_of_another_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ClapgenError, match=r"model of type 'bert'.*supported: .*clap"):
        load_embedder(str(tmp_path))


def test_names_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    for name in ("laion/clap-htsat-unfused", "laion/larger_clap_general", "lukewys/laion_clap/630k-best.pt"):
        assert is_hub_name(name)
        assert needs_hub(name)
    for name in (
        "default",
        "runs/mine",
        "../x/y",
        "a/../b",
        "/a/b",
        "a/b/c",
        "a/b..c",
        "a/b/../c.pt",
        "a/b/.pt",
        "a//b",
        "~/a",
    ):
        assert not is_hub_name(name), name
        assert not needs_hub(name), name


def test_a_cached_model_needs_no_network(hub_cache: Path) -> None:
    name = "laion/clap-tiny"
    laion(cached(hub_cache, name))
    assert load_clap(name).embed_text(["rain"]).shape == (1, 24)
    assert load_clap(f"laion:{name},window=first").dim == 24


@pytest.mark.parametrize("missing", ["model.safetensors", "config.json", "everything"])
def test_a_half_downloaded_model_is_not_used(hub_cache: Path, missing: str) -> None:
    folder = cached(hub_cache, "laion/clap-tiny")
    if missing != "everything":
        (laion(folder) / missing).unlink()
    words = "no folder laion/clap-tiny, and it cannot" if missing == "everything" else "its download was cut off"
    with pytest.raises(ClapgenError, match=words):
        find_checkpoint("laion/clap-tiny")


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = laion(tmp_path / "model")
    shards = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(shards))
    with pytest.raises(ClapgenError, match=r"not complete: model-00002-of-00002\.safetensors is missing"):
        load_clap(folder)


def test_missing_weights_are_not_made_up(tmp_path: Path) -> None:
    """transformers draws them at random, with a warning."""
    from safetensors.torch import load_file, save_file

    folder = laion(tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights["audio_projection.linear1.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ClapgenError, match=r"missing, such as audio_projection.linear1.weight"):
        load_clap(folder)


def test_without_network_one_line_comes_soon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], hub_cache: Path, recordings: list[Path], monkeypatch: Any
) -> None:
    from huggingface_hub import constants

    import clapgen.embedders.laion  # importing torch is not what is timed
    import clapgen.embedders.microsoft  # noqa: F401

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # as every command sets it; taken back for a name of the hub
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nothing listens
    for name in ("laion/clap-htsat-unfused", "microsoft/msclap/CLAP_weights_2023.pth", "msclap:2023"):
        began = time.monotonic()
        assert run(["score", str(recordings[0]), "a door", "--model", name]) == 2
        assert time.monotonic() - began < 5
        [line] = capsys.readouterr().err.strip().splitlines()
        assert "cannot be downloaded from the Hugging Face hub: it cannot be reached" in line


def test_the_option_window_of_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], recordings: list[Path]
) -> None:
    folder = laion(tmp_path / "model")
    scores = set()
    for window in ("mean", "first", "centre"):
        assert run(["score", str(recordings[0]), "a dog", "--model", str(folder), "--window", window, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (",window=" in found["model"]) == (window != "mean")
        scores.add(found["score"])
    assert len(scores) == 3
    assert run(["score", str(recordings[0]), "a dog", "--model", str(folder), "--window", "last"]) == 2
    assert "window must be mean, first, centre, fusion" in capsys.readouterr().err
