"""The commands that read sounds: from a pipe, of any name, any length, with what is left out named."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import Command, assert_one_line, environment, write_parts, write_tone

COMMANDS = {
    "embed": lambda *files: ("embed", *files, "-f"),
    "score": lambda *files: ("score", *files, "rain"),
    "classify": lambda *files: ("classify", *files, "-l", "rain,wind"),
    "caption": lambda *files: ("caption", *files),
}


def stdin_of(content: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_sound_from_a_pipe_is_as_from_its_file(
    clapgen: Command, here: Path, captioner_model: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tone(here / "a.wav", 1.3)

    def run(source: str) -> list:
        result = clapgen(*COMMANDS[name](source), "--model", captioner_model, "--json")
        assert (result.code, result.err) == (0, "")
        found = json.loads(result.out.replace(f'"{source}"', '"the sound"'))
        return [found, np.load("embeddings.npz")["embeddings"].tolist() if name == "embed" else None]

    expected = run("a.wav")
    monkeypatch.setattr("sys.stdin", stdin_of((here / "a.wav").read_bytes()))
    assert run("-") == expected


@pytest.mark.parametrize("name", COMMANDS)
def test_what_comes_through_a_pipe_and_is_no_sound_is_named(
    clapgen: Command, here: Path, captioner_model: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for content, words in ((b"Dear diary" * 50, "standard input is not audio"), (b"", "standard input is an empty")):
        monkeypatch.setattr("sys.stdin", stdin_of(content))
        assert_one_line(clapgen(*COMMANDS[name]("-"), "--model", captioner_model), words)
    terminal = stdin_of(b"")
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin", terminal)
    assert_one_line(clapgen(*COMMANDS[name]("-"), "--model", captioner_model), "standard input (-) is a terminal")


def test_a_sidecar_of_a_pipe_is_refused(caption: Command) -> None:
    assert_one_line(caption("-", "--sidecar"), "--sidecar needs files")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_says_what_it_leaves_out(clapgen: Command, here: Path, captioner_model: Path, name: str) -> None:
    (here / "sounds").mkdir()
    write_tone(here / "sounds" / "a.wav")
    for other in ("notes.txt", "a.wav.caption.json", ".hidden.txt"):
        (here / "sounds" / other).write_text("x")
    result = clapgen(*COMMANDS[name]("sounds"), "--model", captioner_model)
    assert result.code == 0
    assert result.err == "clapgen: left out 1 file that is not audio by suffix (1 .txt).\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_longer_sound_than_allowed_is_skipped_in_one_sentence(
    clapgen: Command, here: Path, captioner_model: Path, name: str
) -> None:
    write_tone(here / "long.wav", 40.0)
    write_tone(here / "short.wav", 1.0)
    options = ("--model", captioner_model, "--max-hours", "0.01")
    assert_one_line(clapgen(*COMMANDS[name]("long.wav"), *options), "long.wav is longer than 0.01 h", "--max-hours")
    result = clapgen(*COMMANDS[name]("long.wav", "short.wav"), *options, "--json")
    assert result.code == 2 and len(result.err.splitlines()) == 2 and len(result.json) == 1
    assert_one_line(clapgen(*COMMANDS[name]("short.wav"), *options[:2], "--max-hours", 0), "must be above 0")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_constant_offset_is_called_silent(clapgen: Command, here: Path, captioner_model: Path, name: str) -> None:
    soundfile.write(here / "a.wav", np.full(44100, 0.3), 44100, subtype="FLOAT")
    result = clapgen(*COMMANDS[name]("a.wav"), "--model", captioner_model)
    assert result.code == 0 and result.err.startswith("clapgen: a.wav: silent: a constant offset; ")


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_names_that_are_not_utf_8_or_would_command_a_terminal_end_no_run(
    here: Path, captioner_model: Path, name: str
) -> None:
    (here / "sounds").mkdir()
    expected = [os.fsdecode(b"sounds/\x1b]0;mine\x07.wav"), os.fsdecode(b"sounds/caf\xe9.wav")]
    for path in expected:
        write_tone(here / "a.wav").rename(path)
    (here / "sounds" / "\x1b[2Jbroken.wav").write_text("no sound")
    extra = {"embed": ["-o", "e.npz"], "caption": ["--csv", "c.csv", "--jsonl", "c.jsonl", "--sidecar"]}.get(name, [])
    for json_lines in ([], ["--json"]):
        line = [*COMMANDS[name]("sounds"), *extra, "--model", captioner_model, *json_lines]
        command = [sys.executable, "-m", "clapgen.cli", *map(str, line)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment())
        extra = [*extra, "--force"] if name == "caption" else extra
        assert done.returncode == 2
        assert "\x1b" not in done.stdout + done.stderr
        assert "sounds/\\x1b[2Jbroken.wav is not audio" in done.stderr
    if name == "embed":
        assert np.load("e.npz")["paths"].tolist() == expected
        return
    assert [json.loads(line)["path"] for line in done.stdout.splitlines()] == expected
    if name == "caption":
        assert [json.loads(line)["path"] for line in Path("c.jsonl").read_text().splitlines()] == expected
        assert "caf\\udce9" in Path("c.csv").read_text()
        assert len(list(Path("sounds").glob("*.caption.json"))) == 2


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
@pytest.mark.parametrize("name", COMMANDS)
def test_memory_does_not_grow_with_the_length_of_a_sound(here: Path, captioner_model: Path, name: str) -> None:
    """20 minutes of stereo at 44.1 kHz are 423 MB as floats."""
    peaks = []
    for seconds in (20, 1200):
        stereo = np.zeros((seconds * 44100, 2), dtype=np.int16)
        stereo[:, 0] = 3000 * np.sin(np.arange(len(stereo)) / 20)
        soundfile.write(here / "a.flac", stereo, 44100)
        del stereo
        script = (
            "import re, sys; from clapgen.cli import run; code = run(sys.argv[1:]); "
            "print(re.search(r'VmHWM:\\s*(\\d+) kB', open('/proc/self/status').read())[1], file=sys.stderr); "
            "sys.exit(code)"
        )
        line = [*COMMANDS[name]("a.flac"), "--model", captioner_model, "--json"]
        command = [sys.executable, "-c", script, *map(str, line)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
        peaks.append(int(done.stderr.split()[-1]))
    assert peaks[1] - peaks[0] < 60_000  # kB


def test_the_batch_size_does_not_change_embeddings(clapgen: Command, here: Path, model: Path) -> None:
    write_parts(here / "a.wav", (5, 440, 0.5), (5, 1000, 0.5))
    for size in (1, 3, 32):
        assert clapgen("embed", "a.wav", "--batch-size", size, "-o", f"{size}.npz", "--model", model).code == 0
    first, *others = (np.load(f"{size}.npz")["embeddings"] for size in (1, 3, 32))
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-5)
