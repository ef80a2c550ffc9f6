"""Every kind of bad input gives one clear line and exit code 2, and leaves no partial files."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import Result, assert_one_line, names, write_tone

Command = Callable[..., Result]
LONG = "a sound " * 1250


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--prompts", "--from"]),
        (["rain", "--prompts", "prompts.txt"], ["one of the three"]),
        ([""], ["prompt is empty"]),
        ([" \n\t "], ["prompt is empty"]),
        ([LONG], ["9,999 characters", "1,000"]),
        (["rain\0"], ["U+0000", "position 4"]),
        (["rain\x1b[31m"], ["U+001B"]),
        (["rain", "--negative-prompt", "\0"], ["--negative-prompt", "U+0000"]),
        (["rain", "--seconds", "-1"], ["--seconds", "0.5 to 30", "-1"]),
        (["rain", "--seconds", "0"], ["--seconds", "0.5 to 30"]),
        (["rain", "--seconds", "1e9"], ["--seconds", "0.5 to 30"]),
        (["rain", "--seconds", "nan"], ["--seconds", "0.5 to 30", "NaN"]),
        (["rain", "--seconds", "long"], ["--seconds", "number"]),
        (["rain", "--num-steps", "0"], ["--num-steps", "1 to 200"]),
        (["rain", "--num-steps", "201"], ["--num-steps", "1 to 200"]),
        (["rain", "--guidance-scale", "-0.1"], ["--guidance-scale", "0 to 20"]),
        (["rain", "--sampler", "hoin"], ["--sampler", "euler, heun, multistep", "Did you mean 'heun'"]),
        (["rain", "--time-shift", "0"], ["--time-shift", "0.1 to 10"]),
        (["rain", "--candidates", "65"], ["--candidates", "1 to 64"]),
        (["rain", "--seed", "-2"], ["--seed", "-1 to 18446744073709551615"]),
        (["rain", "--batch-size", "0"], ["--batch-size"]),
        (["rain", "--device", "gpu"], ["--device", "'gpu'", "cuda"]),
        (["rain", "--device", "cuda:99"], ["cuda:99", "CUDA GPUs", "--device cpu"]),
        (["rain", "--dtype", "int8"], ["--dtype", "bfloat16"]),
        (["rain", "--format", "m4a"], ["--format", "wav", "'m4a'"]),
        (["rain", "--format", "flak"], ["Did you mean 'flac'"]),
        (["rain", "-o", "rain.m4a"], ["rain.m4a", ".wav", ".opus"]),
        (["rain", "-o", "rain.wav", "--format", "flac"], ["contradict"]),
        (["rain", "wind", "-o", "both.wav"], ["several sounds", "folder"]),
        (["rain", "-o", "text.txt/rain.wav"], ["text.txt"]),
        (["rain", "-o", "there.wav"], ["there.wav already exists", "--force"]),
        (["rain", "-o", "there.flac"], ["there.json already exists"]),
        (["rain", "-o", "noext"], ["noext is a file"]),
        (["rain", "--peak", "1"], ["--peak", "-60 to 0"]),
        (["rain", "--peak", "nan"], ["--peak", "-60 to 0"]),
        (["rain", "--loudness", "3"], ["--loudness", "-70 to 0"]),
        (["rain", "--level", "loud"], ["--level", "as-is"]),
        (["rain", "--peak", "-3", "--level", "as-is"], ["peak and level exclude each other"]),
        (["rain", "--rate", "100"], ["--rate", "8000 to 192000"]),
        (["rain", "--rate", "44100", "--format", "opus"], ["44100", ".opus", "48000"]),
        (["rain", "--channels", "3"], ["--channels", "1 to 2"]),
        (["rain", "--count", "0"], ["--count"]),
        (["rain", "--count", "2", "-o", "rain.wav"], ["several sounds", "folder"]),
        (["rain", "-o", "-"], ["--format"]),
        (["rain", "wind", "-o", "-", "--format", "wav"], ["one sound"]),
        (["rain", "-o", "-", "--format", "wav", "--json"], ["--json"]),
        (["-20 degrees and wind"], ["No such option", "Put -- before a prompt"]),
        (["--prompts", "noext"], ["unsupported type of prompt file", ".csv"]),
        (["--prompts", "there.wav"], ["unsupported type of prompt file", ".csv"]),
        (["--prompts", "nowhere.txt"], ["nowhere.txt", "no such file"]),
        (["--prompts", "folder"], ["folder", "directory"]),
        (["--from", "nowhere.json"], ["nowhere.json"]),
        (["--from", "there.wav"], ["there.json", "not a sidecar"]),
        (["--from", "text.txt"], ["text.txt", "not a sidecar"]),
    ],
)
def test_wrong_generate_commands(generate: Command, here: Path, arguments: list[str], words: list[str]) -> None:
    for name in ("text.txt", "there.wav", "noext"):
        Path(name).write_text("text")
    Path("there.json").write_text("{}")
    Path("folder").mkdir()
    before = names(here)
    assert_one_line(generate(*arguments), *words)
    assert names(here) == before


def test_a_folder_without_write_permission(generate: Command, here: Path) -> None:
    (here / "closed").mkdir(mode=0o555)
    if os.access(here / "closed", os.W_OK):
        folder = Path("/proc/clapgen")  # the superuser may write anywhere but there
        if not Path("/proc/self").exists():
            pytest.skip("runs as a user who may write everywhere")
    else:
        folder = here / "closed"
    assert_one_line(generate("rain", "-o", folder / "rain.wav"), str(folder), "cannot write")
    assert_one_line(generate("rain", "-o", folder), str(folder), "cannot write")


def test_an_unknown_model_gets_a_suggestion(clapgen: Command, model: Path, tmp_path: Path) -> None:
    assert_one_line(clapgen("generate", "rain", "--model", f"{model}x"), f"'{model}x'", f"Did you mean '{model}'")
    verbs = (("score", "a.wav", "rain"), ("classify", "a.wav", "--labels", "a,b"), ("embed", "a.wav"))
    write_tone(tmp_path / "a.wav")
    for verb in verbs:
        assert_one_line(clapgen(*verb, "--model", "nowhere"), "'nowhere'")


@pytest.mark.parametrize("part", ["clap", "autoencoder", "diffusion"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped", "text"])
def test_damaged_weights_are_named(clapgen: Command, model: Path, here: Path, part: str, damage: str) -> None:
    shutil.copytree(model, here / "broken")
    weights = here / "broken" / part / "model.safetensors"
    content = bytearray(weights.read_bytes())
    words = {"missing": "missing", "truncated": "truncated", "flipped": "sha256", "text": "not a safetensors file"}
    if damage == "missing":
        weights.unlink()
    elif damage == "truncated":
        weights.write_bytes(content[:-100])
    elif damage == "flipped":
        content[-1] ^= 1
        weights.write_bytes(content)
    else:
        weights.write_text("version https://git-lfs.github.com/spec/v1")
    result = clapgen("generate", "rain", "--model", "broken", "-o", "rain.wav")
    assert_one_line(result, f"{part}/model.safetensors", words[damage])
    assert names(here) == ["broken"]


def bad_sounds(folder: Path) -> dict[str, str]:
    """Files that are not usable audio, and a word of the error about each."""
    (folder / "text.wav").write_text("not a sound")
    (folder / "zero-bytes.wav").write_bytes(b"")
    soundfile.write(folder / "no-samples.wav", np.zeros(0), 8000)
    soundfile.write(folder / "nan.wav", np.array([0.0, np.nan, 0.1], dtype=np.float32), 8000, subtype="FLOAT")
    content = write_tone(folder / "cut.wav").read_bytes()
    (folder / "cut.wav").write_bytes(content[: len(content) // 2])
    return {
        "text.wav": "",
        "zero-bytes.wav": "",
        "no-samples.wav": "zero samples",
        "nan.wav": "NaN",
        "cut.wav": "truncated",
    }


@pytest.mark.slow
def test_files_that_are_not_audio(clapgen: Command, model: Path, here: Path) -> None:
    for name, word in bad_sounds(here).items():
        for verb in (("score", name, "rain"), ("classify", name, "-l", "a,b"), ("embed", name, "-o", "e.npz")):
            assert_one_line(clapgen(*verb, "--model", model), name, word)
    assert not Path("e.npz").exists()


def test_unusual_audio_files_are_accepted(clapgen: Command, model: Path, here: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (96_000, 8))
    soundfile.write("octets.wav", noise, 96_000)
    soundfile.write("silence.wav", np.zeros(8000), 8000)
    soundfile.write("short.wav", noise[:80, 0], 8000)
    result = clapgen("score", "octets.wav", "silence.wav", "short.wav", "rain", "--model", model, "--json")
    assert result.code == 0
    assert all(-1 <= line["score"] <= 1 for line in result.json)
    assert result.err.splitlines() == ["clapgen: silence.wav: digital silence; its embedding is not meaningful."]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["score", "rain"], ["first", "last"]),
        (["score", "tone.wav", "tone.wav"], ["text last"]),
        (["score", "nowhere.wav", "rain"], ["nowhere.wav", "does not exist"]),
        (["score", "tone.wav", " "], ["text is empty"]),
        (["classify", "tone.wav"], ["--labels"]),
        (["classify", "tone.wav", "-l", "rain"], ["at least two"]),
        (["classify", "tone.wav", "-l", "rain,wind,rain"], ["'rain' more than once"]),
        (["classify", "tone.wav", "-l", ","], ["at least two"]),
        (["classify", "tone.wav", "-l", "@nowhere.txt"], ["nowhere.txt"]),
        (["classify", "tone.wav", "-l", "a,b", "--template", "a sound"], ["--template", "{label}"]),
        (["classify", "empty", "-l", "a,b"], ["empty", "no audio"]),
        (["embed"], ["nothing to embed"]),
        (["embed", "tone.wav", "-o", "e.csv"], ["e.csv", ".npz"]),
        (["embed", "tone.wav", "-o", "there.npz"], ["there.npz already exists"]),
        (["embed", "--text", ""], ["--text is empty"]),
        (["models", "verify", "empty"], ["is not a model folder"]),
        (["models", "show", "empty"], ["MODEL_CARD.md"]),
        (["models", "list"], ["'list'"]),
    ],
)
def test_wrong_commands_of_other_verbs(clapgen: Command, here: Path, arguments: list[str], words: list[str]) -> None:
    write_tone(here / "tone.wav")
    (here / "empty").mkdir()
    (here / "there.npz").write_text("mine")
    before = names(here)
    assert_one_line(clapgen(*arguments), *words)
    assert names(here) == before
