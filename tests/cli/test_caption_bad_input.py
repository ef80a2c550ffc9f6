"""Bad input to `clapgen caption` is named, before anything slow where possible."""

import json
import shutil
import sys
from pathlib import Path
from subprocess import run as run_process

import pytest
from command_line import Command, assert_one_line, environment, names, write_parts, write_tone

from clapgen.model_store import copy_part


def test_a_corrupt_file_among_many_is_named_and_the_rest_is_done(caption: Command, pitches: list[Path]) -> None:
    for index in range(70):
        shutil.copy(pitches[index % 4], f"tones/many-{index:02d}.wav")
    content = Path("tones/many-40.wav").read_bytes()
    Path("tones/many-40.wav").write_bytes(content[: len(content) // 2])
    result = caption("tones", "--csv", "all.csv")
    assert result.code == 2
    first, last = result.err.splitlines()
    assert "tones/many-40.wav is truncated" in first and "1 of 74 files were skipped" in last
    paths = [line.split("\t")[0] for line in result.out.splitlines()]
    assert paths == [str(path) for path in sorted(Path("tones").iterdir()) if path.name != "many-40.wav"]
    assert len(Path("all.csv").read_text().splitlines()) == 1 + 73

    strict = caption("tones", "--strict", "--json")
    assert strict.code == 2 and strict.err.count("\n") == 1 and "many-40.wav" in strict.err
    assert [line["path"] for line in strict.json] == paths[: 4 + 40]


def test_a_recording_that_ends_before_its_header_says_is_left_out_whole(caption: Command, here: Path) -> None:
    write_parts(here / "long.wav", (6, 440, 0.5))
    content = (here / "long.wav").read_bytes()
    (here / "long.wav").write_bytes(content[: len(content) // 2])
    write_tone(here / "good.wav")
    result = caption("long.wav", "good.wav", "--window", 1, "--json")
    assert (result.code, [line["path"] for line in result.json]) == (2, ["good.wav"])


@pytest.mark.slow
def test_a_wrong_bridge_is_named_before_anything_slow(
    caption: Command, pitches: list[Path], captioner_model: Path
) -> None:
    assert_one_line(caption(pitches[0], "--bridge", "memry"), "unknown bridge 'memry'", "Did you mean 'memory'")
    assert_one_line(caption(pitches[0], "--bridge", "noise+nois"), "'nois'", "Did you mean 'noise'")
    assert_one_line(
        caption(pitches[0], "--bridge", "nearest"), "has no bridge 'nearest'", "none, noise, memory", "extra=[nearest]"
    )
    assert_one_line(caption(pitches[0], "--bridge", "nnd"), "'nnd' is now called 'nearest'")
    script = "import sys; from clapgen.cli import run; run(sys.argv[1:]); print('transformers' in sys.modules)"
    arguments = ["caption", pitches[0], "--model", captioner_model, "--bridge", "memry"]
    command = [sys.executable, "-c", script, *map(str, arguments)]
    assert run_process(command, env=environment(), capture_output=True, text=True).stdout == "False\n"


def test_a_captioner_of_another_clap_is_refused_with_both_names(
    caption: Command, pitches: list[Path], captioner_model: Path, other_model: Path
) -> None:
    shutil.copytree(captioner_model, "mixed")
    copy_part(other_model, "mixed", "clap")
    hashes = [json.loads((folder / "checksums.json").read_text()) for folder in (captioner_model, other_model)]
    theirs = [sums["clap/model.safetensors"][:12] for sums in hashes]
    assert_one_line(caption(pitches[0], "--model", "mixed"), "trained on the CLAP tiny", *theirs, "mixed", "clap=mixed")


def test_a_model_without_a_captioner_says_how_to_train_one(caption: Command, pitches: list[Path], model: Path) -> None:
    assert_one_line(caption(pitches[0], "--model", model), str(model), "has no captioner", "clapgen train captioner")
    assert_one_line(caption(pitches[0], "--model", f"{model}x"), f"'{model}x'", "Did you mean")


def test_a_public_clap_alone_says_how_to_train_a_captioner_on_it(caption: Command, pitches: list[Path]) -> None:
    assert_one_line(caption(pitches[0], "--model", "laion:a/b"), "laion:a/b has no captioner", "clap=laion:a/b")


@pytest.mark.parametrize("file", ["config.yaml", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_damaged_captioner_is_named(
    caption: Command, pitches: list[Path], captioner_model: Path, file: str, damage: str
) -> None:
    shutil.copytree(captioner_model, "broken")
    path = Path("broken/captioner") / file
    content = path.read_bytes()
    path.unlink()
    if damage == "changed":
        path.write_bytes(content[:-1] + b"!")
    words = "missing" if damage == "missing" else "damaged or was changed"
    assert_one_line(caption(pitches[0], "--model", "broken"), f"broken/captioner/{file}", words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["files"]),
        (["nowhere.wav"], ["nowhere.wav", "does not exist"]),
        (["empty"], ["empty", "no audio"]),
        (["tone.wav", "--candidates", "0"], ["--candidates"]),
        (["tone.wav", "--beams", "0"], ["--beams"]),
        (["tone.wav", "--method", "beem"], ["--method", "'beem'", "Did you mean 'beam'"]),
        (["tone.wav", "--method", "greedy", "--candidates", "2"], ["greedy", "--candidates"]),
        (["tone.wav", "--method", "nucleus", "--beams", "4"], ["--beams", "--method beam"]),
        (["tone.wav", "--top-p", "0.5"], ["--top-p", "--method nucleus", "beam"]),
        (["tone.wav", "--method", "nucleus", "--top-p", "0"], ["--top-p"]),
        (["tone.wav", "--method", "nucleus", "--temperature", "nan"], ["--temperature"]),
        (["tone.wav", "--length-penalty", "inf"], ["--length-penalty"]),
        (["tone.wav", "--seed", "-1"], ["--seed"]),
        (["tone.wav", "--window", "-1"], ["--window", "at least 0.5"]),
        (["tone.wav", "--window", "0.1"], ["--window", "at least 0.5"]),
        (["tone.wav", "--window", "nan"], ["--window"]),
        (["tone.wav", "--min-score", "2"], ["--min-score", "-1 to 1"]),
        (["tone.wav", "--min-score", "nan"], ["--min-score"]),
        (["tone.wav", "--device", "gpu"], ["--device", "'gpu'"]),
        (["tone.wav", "--csv", "tone.wav", "--force"], ["tone.wav is one of the input files"]),
        (["tone.wav", "--csv", "a", "--jsonl", "./a"], ["--csv and --jsonl both"]),
        (["tone.wav", "--csv", "empty"], ["empty is a folder"]),
        (["tone.wav", "--jsonl", "tone.wav/a.jsonl"], ["cannot write", "tone.wav"]),
        (["text.wav"], ["text.wav", "not audio"]),
    ],
)
def test_wrong_commands(caption: Command, here: Path, arguments: list[str], words: list[str]) -> None:
    write_tone(here / "tone.wav")
    (here / "empty").mkdir()
    (here / "text.wav").write_text("not a sound")
    before = names(here)
    assert_one_line(caption(*arguments), *words)
    assert names(here) == before
