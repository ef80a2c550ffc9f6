"""Settings of `clapgen generate`: levels, seeds, files, and reading them back from a sidecar or from the sound."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from command_line import Result, assert_one_line, environment, names

from clapgen.audio import read_comment
from clapgen.audio.mastering import loudness, peak_dbfs

Generate = Callable[..., Result]


def test_count_gives_other_seeds_and_never_the_same_candidate(generate: Generate, here: Path) -> None:
    made = generate("rain", "--count", 3, "--candidates", 2, "--seed", 4, "--json").json
    assert [sound["seed"] for sound in made] == [4, 6, 8]
    assert len({sound["sha256"] for sound in made}) == 3
    again = generate("rain", "wind", "--count", 3, "--candidates", 2, "--seed", 4, "--json").json
    assert [sound["skipped"] for sound in again] == [True] * 3 + [False] * 3


def test_a_seed_is_drawn_and_recorded(generate: Generate, clapgen: Generate) -> None:
    first, second = (generate("rain", "--seed", -1, "--json").json[0] for _ in range(2))
    assert first["seed"] != second["seed"] and first["seed"] >= 0
    assert "bit for bit" in clapgen("generate", "--from", first["path"], "-o", "again.wav").err


def test_a_finished_sound_matches_whatever_number_format_made_it_unless_one_is_given(generate: Generate) -> None:
    for options, skipped in (
        (("--dtype", "float32"), False),
        ((), True),
        (("--dtype", "bfloat16"), False),
        (("--dtype", "float32"), True),
    ):
        assert generate("rain", *options, "--json").json[0]["skipped"] == skipped


def test_equal_requests_are_announced(generate: Generate, here: Path) -> None:
    Path("prompts.txt").write_text("rain\nwind\nrain\n")
    result = generate("--prompts", "prompts.txt")
    assert len(result.out.splitlines()) == 2
    assert "'rain' is given 2 times" in result.err and "--count" in result.err
    assert (
        generate("rain", "bells").err == "clapgen: Skipping rain_seed0.wav: already generated with these settings "
        "(--force regenerates).\n"
    )


def test_levels(generate: Generate, here: Path) -> None:
    for options, measure, level in (
        (("--loudness", -30), lambda sound: loudness(sound, 8000), -30),
        (("--peak", -12), peak_dbfs, -12),
        ((), peak_dbfs, -1),
    ):
        [made] = generate("rain", "--seconds", 2, "--format", "wav32", *options, "--json").json
        sound = soundfile.read(made["path"], dtype="float32")[0]
        assert measure(sound) == pytest.approx(level, abs=0.1)
        assert made["decoder_peak"] + made["gain"] == pytest.approx(peak_dbfs(sound), abs=0.01)
    [as_is] = generate("rain", "--level", "as-is", "--json").json
    assert as_is["gain"] == pytest.approx(min(0, -as_is["decoder_peak"]), abs=1e-6)
    assert (as_is["peak"], as_is["loudness"], as_is["level"]) == (None, None, "as-is")


def test_an_option_replaces_a_recorded_level(generate: Generate, clapgen: Generate) -> None:
    generate("rain", "--peak", -3, "-o", "rain.wav")
    [made] = clapgen("generate", "--from", "rain.wav", "--loudness", -30, "--json").json
    assert (made["peak"], made["loudness"]) == (None, -30.0)
    [made] = clapgen("generate", "--from", "rain.wav", "-o", "again.wav", "--json").json
    assert made["peak"] == -3.0


@pytest.mark.parametrize("audio_format", ["wav", "wav24", "wav32", "flac", "ogg", "opus", "mp3"])
def test_the_settings_are_inside_the_sound(generate: Generate, clapgen: Generate, audio_format: str) -> None:
    options = ("--seed", 2**64 - 1, "--negative-prompt", "Wind ☔", "--loudness", -30, "--format", audio_format)
    [made] = generate("Regen auf dem Blechdach", *options, "-o", "out", "--json").json
    sound = Path(made["path"])
    before = sound.read_bytes()
    sound.with_suffix(".json").unlink()
    result = clapgen("generate", "--from", sound, "-o", "again", "--json")
    assert "bit for bit" in result.err
    [again] = result.json
    assert Path(again["path"]).read_bytes() == before
    assert again == {**made, "path": again["path"]}
    assert not {"sha256", "device", "versions", "threads"} & json.loads(read_comment(sound)).keys()


def test_the_sidecar_wins_over_the_settings_inside(generate: Generate, clapgen: Generate) -> None:
    generate("rain", "-o", "rain.wav")
    sidecar = json.loads(Path("rain.json").read_text())
    Path("rain.json").write_text(json.dumps({**sidecar, "seed": 5}))
    assert clapgen("generate", "--from", "rain.wav", "-o", "other.wav", "--json").json[0]["seed"] == 5


def test_rate_and_channels(generate: Generate, clapgen: Generate, here: Path) -> None:
    for audio_format, rate in (("wav", 44_100), ("flac", 48_000), ("ogg", 22_050), ("opus", 16_000), ("mp3", 44_100)):
        options = ("--format", audio_format, "--rate", rate, "--channels", 2, "--level", "as-is")
        [made] = generate("rain", *options, "-o", audio_format, "--json").json
        info = soundfile.info(made["path"])
        assert (info.channels, made["rate"], made["channels"], made["sample_rate"]) == (2, rate, 2, rate)
        assert info.samplerate == (48_000 if audio_format == "opus" else rate) or info.samplerate == rate
        assert info.duration == pytest.approx(0.5, abs=0.06)
    left, right = soundfile.read("wav/rain_seed0.wav")[0].T
    np.testing.assert_array_equal(left, right)
    run = ("rain", "--level", "as-is", "-o", "wav", "--json")
    assert generate(*run, "--rate", 44_100, "--channels", 2).json[0]["skipped"]
    assert not generate(*run, "--rate", 48_000).json[0]["skipped"]
    Path("wav/rain_seed0.json").unlink()
    result = clapgen("generate", "--from", "wav/rain_seed0.wav", "-o", "again.wav")
    assert "bit for bit" in result.err


def test_resampling_does_not_raise_the_peak(generate: Generate) -> None:
    [made] = generate("rain", "--rate", 11_025, "--peak", 0, "--format", "wav32", "--json").json
    assert np.abs(soundfile.read(made["path"])[0]).max() <= 1


@pytest.mark.slow
def test_a_sound_goes_to_standard_output(here: Path, model: Path) -> None:
    line = [sys.executable, "-m", "clapgen.cli", "generate", "--model", model, "--seconds", 0.5, "--steps", 1]
    line += ["-o", "-", "--format", "flac", "--", "-20 degrees, rain"]
    done = subprocess.run([str(part) for part in line], capture_output=True, env=environment(), check=True)
    (here / "sound.flac").write_bytes(done.stdout)
    assert soundfile.info("sound.flac").frames == 4000
    assert json.loads(read_comment("sound.flac"))["prompt"] == "-20 degrees, rain"
    assert b"seed 0" in done.stderr
    assert names(here) == ["sound.flac"]


@pytest.mark.slow
def test_closed_or_full_standard_output(here: Path, model: Path) -> None:
    command = (
        f"{sys.executable} -m clapgen.cli generate rain --model {model} --seconds 0.5 --steps 1 -o rain.wav --force"
    )
    for redirection, code in ((">&-", 0), ("<&- >&- 2>&-", 0), ("> /dev/full", 2)):
        done = subprocess.run(
            f"{command} {redirection}", shell=True, capture_output=True, text=True, env=environment(), check=False
        )
        assert done.returncode == code, done
        assert "Traceback" not in done.stderr and "unexpected" not in done.stderr and "ignored" not in done.stderr
        assert soundfile.info("rain.wav").frames == 4000


WRONG = [
    ({"format": ["wav"]}, "'format' must be text"),
    ({"format": {"a": 1}}, "'format' must be text"),
    ({"file": 5}, "'file' must be text"),
    ({"dtype": []}, "'dtype' must be text"),
    ({"sha256": None}, "'sha256' must be text"),
    ({"model": "default"}, "'model' must be an object"),
    ({"model": {"name": ["x"], "hashes": {}}}, "'model' must be an object"),
    ({"model": {"name": "x", "hashes": []}}, "'model' must be an object"),
    ({"versions": "1"}, "'versions' must be an object"),
    ({"rate": "fast"}, "'rate' must be a whole number"),
    ({"channels": 9}, "'channels' must be a whole number"),
    ({"seed": "x"}, "'seed' must be a whole number"),
    ({"seconds": [1]}, "'seconds' must be a number"),
    ({"prompt": {}}, "the prompt must be text"),
    ({"sampler": {}}, "'sampler' must be one of"),
    ({"negative_prompt": 5}, "'negative_prompt' must be text"),
    ({"level": []}, "'level' must be one of"),
]


@pytest.mark.parametrize(("change", "words"), WRONG)
def test_wrong_values_in_a_sidecar_are_named(generate: Generate, clapgen: Generate, change: dict, words: str) -> None:
    generate("rain", "-o", "rain.wav")
    sidecar = json.loads(Path("rain.json").read_text())
    Path("rain.json").write_text(json.dumps({**sidecar, **change}))
    assert_one_line(clapgen("generate", "--from", "rain.json", "-o", "again.wav"), "rain.json", words)
    assert generate("rain").code == 0  # nor do they disturb a batch in the same folder


@pytest.mark.parametrize("text", ["[" * 200_000, '{"prompt": ' * 200_000, "{", "[1]", "null", '{"prompt": "rain"}'])
def test_what_is_no_sidecar(clapgen: Generate, here: Path, text: str) -> None:
    Path("rain.json").write_text(text)
    assert_one_line(clapgen("generate", "--from", "rain.json"), "rain.json is not a sidecar of clapgen")


def test_a_sound_without_settings(clapgen: Generate, here: Path) -> None:
    from clapgen.audio import write_audio

    for number, comment in enumerate(("", "recorded in 1999", "{", "[" * 5000, '{"prompt": 1}', '{"a": ' * 5000)):
        write_audio(f"{number}.wav", np.zeros(800, np.float32), 8000, comment=comment)
        assert_one_line(clapgen("generate", "--from", f"{number}.wav"), f"{number}.wav")


def test_different_bits_are_explained_by_what_differs(generate: Generate, clapgen: Generate) -> None:
    generate("rain", "-o", "rain.wav")
    sidecar = json.loads(Path("rain.json").read_text())
    sidecar["sha256"] = "0" * 64
    del sidecar["threads"]
    for change, there, absent in (
        ({}, "did not record the threads yet", " then"),
        ({"threads": 64}, "threads 64 then", "torch"),
        ({"versions": {**sidecar["versions"], "torch": "1.0"}}, "torch 1.0 then", "numpy"),
        ({"device": "cuda"}, "device cuda then", "threads"),
        ({"threads": torch.get_num_threads()}, "was the original edited", " then"),
    ):
        Path("rain.json").write_text(json.dumps({**sidecar, **change}))
        result = clapgen("generate", "--from", "rain.json", "-o", "again.wav", "--force")
        assert "different bits" in result.err and there in result.err
        assert absent not in result.err


def test_a_prompt_in_another_language_is_announced_once_and_recorded(generate: Generate) -> None:
    prompt = "проливной дождь и сильный ветер"
    result = generate(prompt, "--candidates", 2, "--json")
    assert result.err.count("trained on English captions") == 1
    assert len(result.json[0]["warnings"]) == 1
    assert generate("rain", "--json").json[0]["warnings"] == []
