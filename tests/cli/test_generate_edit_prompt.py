"""`clapgen generate --edit-prompt` and `clapgen models captions`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Result, assert_one_line, names
from tiny_bigrams import save_bigram_gpt2

from clapgen.testing import tiny_model
from generation.prompts import captions_of_model, save_captions
from generation.sidecars import sha256_of

Command = Callable[..., Result]
CAPTIONS = ["Rain falls steadily on a roof", "A dog barks nearby", "Church bells ring in a tower"]
EDITED = "Rain falls steadily on a roof"


@pytest.fixture(scope="module")
def captioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with captions."""
    model = tiny_model(tmp_path_factory.mktemp("models") / "captioned")
    save_captions(model, CAPTIONS)
    return model


@pytest.fixture
def edit(clapgen: Command, captioned: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: object) -> Command:
    """Generate with edited prompts, quickly."""
    monkeypatch.setenv("CLAPGEN_CACHE", str(captioned.parent / "cache"))
    settings = ("--model", captioned, "--seconds", 0.5, "--num-steps", 2)
    return lambda *arguments: clapgen("generate", *settings, "--edit-prompt", *arguments)


def test_both_prompts_are_recorded_and_give_the_same_sound_again(
    edit: Command, clapgen: Command, captioned: Path
) -> None:
    result = edit("rain", "--json", "--count", 2, "--candidates", 2)
    assert result.code == 0, result
    assert result.err.count(f"rain -> {EDITED}") == 1
    for line, sound in zip(result.json, ("rain_seed0", "rain_seed2"), strict=True):
        assert (line["original_prompt"], line["prompt"], line["file"]) == ("rain", EDITED, f"{sound}.wav")
    sidecar = json.loads(Path("rain_seed0.json").read_text())
    assert (sidecar["original_prompt"], sidecar["prompt"]) == ("rain", EDITED)
    Path("rain_seed0.json").unlink()  # the settings inside the sound are enough
    again = clapgen("generate", "--model", captioned, "--from", "rain_seed0.wav", "-o", "again.wav", "--json")
    assert "identical to the original, bit for bit" in again.err and "->" not in again.err
    assert again.json[0]["original_prompt"] == "rain"
    assert sha256_of(Path("again.wav")) == sidecar["sha256"]


def test_the_sound_is_that_of_the_edited_prompt(edit: Command, clapgen: Command, captioned: Path) -> None:
    edit("rain")
    clapgen("generate", "--model", captioned, "--seconds", 0.5, "--num-steps", 2, EDITED, "-o", "plain.wav")
    first, second = (json.loads(Path(f"{name}.json").read_text()) for name in ("rain_seed0", "plain"))
    assert first["score"] == second["score"]
    assert "original_prompt" not in second


def test_finished_sounds_are_skipped(edit: Command, here: Path) -> None:
    assert edit("rain").code == 0
    again = edit("rain", "--json")
    assert again.json[0]["skipped"] is True
    assert names(here) == ["rain_seed0.json", "rain_seed0.wav"]


def test_a_prompt_file_is_edited_and_captions_stay(edit: Command) -> None:
    Path("prompts.jsonl").write_text(
        f'{{"prompt": "rain", "name": "first"}}\n{{"prompt": "{CAPTIONS[1]} at night"}}\n{{"prompt": "xyzzy"}}\n'
    )
    result = edit("--prompts", "prompts.jsonl", "--json")
    used = {line["original_prompt"]: line["prompt"] for line in result.json}
    assert used == {"rain": EDITED, f"{CAPTIONS[1]} at night": f"{CAPTIONS[1]} at night", "xyzzy": "xyzzy"}
    assert f"{CAPTIONS[1]} at night: already like a caption" in result.err
    assert "xyzzy: no caption close enough" in result.err
    assert Path("first.wav").exists()


@pytest.mark.slow
def test_exemplars_and_a_rewriter_of_ones_own(edit: Command, tmp_path: Path) -> None:
    Path("captions.txt").write_text("Rain drips from old wooden leaves\nA dog barks nearby\n")
    assert "rain -> Rain drips from old wooden leaves" in edit("rain", "--exemplars", "captions.txt").err
    save_bigram_gpt2(tmp_path / "gpt2", "Rain patters softly on the tent")
    result = edit("rain", "--rewriter", tmp_path / "gpt2", "--seed", 1)
    assert result.err.startswith("clapgen: rain -> Rain patters softly on the")


def test_what_does_not_fit_together_is_one_line(edit: Command, clapgen: Command, model: Path, here: Path) -> None:
    assert_one_line(clapgen("generate", "rain", "--exemplars", "x.txt"), "--exemplars", "add --edit-prompt")
    assert_one_line(clapgen("generate", "rain", "--rewriter", "gpt2"), "--rewriter", "add --edit-prompt")
    assert_one_line(edit("--from", "rain.json"), "--from", "omit --edit-prompt")
    assert_one_line(edit("--mix", "rain:0.7", "--mix", "wind:0.3"), "--edit-prompt", "--mix")
    without = clapgen("generate", "rain", "--edit-prompt", "--model", model)
    assert_one_line(without, "no captions", "--exemplars FILE", "clapgen models captions")
    assert_one_line(edit("rain", "--exemplars", "missing.txt"), "missing.txt")
    (here / "empty").mkdir()
    assert_one_line(edit("rain", "--rewriter", "empty"), "rewriter empty cannot be loaded")
    assert names(here) == ["empty"]


def test_captions_of_a_manifest_go_into_a_model(clapgen: Command, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "new")
    Path("clips.jsonl").write_text(
        '{"path": "a.wav", "captions": ["Rain falls."], "free": true}\n'
        '{"path": "b.wav", "captions": ["Wind howls"], "free": false}\n'
        '{"path": "c.wav", "captions": ["A dog barks"], "free": true, "copyleft": "gpl"}\n'
    )
    result = clapgen("models", "captions", model, "--manifest", "clips.jsonl", "--exclude-copyleft", "gpl")
    assert result.out == f"{model / 'diffusion' / 'captions.txt'}  (1 captions)\n"
    assert captions_of_model(model) == ["Rain falls"]
    assert clapgen("models", "captions", model, "--manifest", "clips.jsonl", "--all").code == 0
    assert captions_of_model(model) == ["Rain falls", "Wind howls", "A dog barks"]
    assert clapgen("models", "verify", model).code == 0
    assert_one_line(clapgen("models", "captions", model, "--manifest", "none.jsonl"), "none.jsonl")
