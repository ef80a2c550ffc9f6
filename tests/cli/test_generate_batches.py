"""Batches of prompts: they resume where they stopped, for any reason."""

import json
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from command_line import Result, assert_one_line, environment, finish, names, start

from generation.sidecars import sha256_of

Generate = Callable[..., Result]
PROMPTS = ["rain on a tin roof", "a dog barks twice", "wind in the trees"]


def write_prompts(prompts: list[str]) -> Path:
    path = Path("prompts.txt")
    path.write_text("\n".join(prompts) + "\n")
    return path


def assert_whole(folder: Path) -> None:
    """Every sound has a correct sidecar, every sidecar a sound, and there is no other file."""
    sidecars = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    assert names(folder) == sorted(
        name for sidecar in sidecars for name in (sidecar["file"], Path(sidecar["file"]).stem + ".json")
    )
    for sidecar in sidecars:
        assert sha256_of(folder / sidecar["file"]) == sidecar["sha256"]
        assert soundfile.info(folder / sidecar["file"]).frames > 0


def test_finished_clips_are_skipped_and_missing_ones_generated(generate: Generate, here: Path) -> None:
    run = ("--prompts", write_prompts(PROMPTS), "-o", "out", "--json")
    assert [line["skipped"] for line in generate(*run).json] == [False] * 3
    before = {path: path.stat().st_mtime_ns for path in (here / "out").iterdir()}
    assert [line["skipped"] for line in generate(*run).json] == [True] * 3
    assert {path: path.stat().st_mtime_ns for path in (here / "out").iterdir()} == before

    (here / "out" / "a-dog-barks-twice_seed0.wav").unlink()
    assert sum(not line["skipped"] for line in generate(*run).json) == 1
    assert len(names(here / "out")) == 6
    assert_whole(here / "out")


@pytest.mark.slow
def test_a_finished_clip_gets_a_plot_requested_later(generate: Generate, here: Path) -> None:
    run = ("--prompts", write_prompts(PROMPTS[:1]), "-o", "out")
    generate(*run)
    sound = here / "out" / "rain-on-a-tin-roof_seed0.wav"
    made = sound.stat().st_mtime_ns
    assert generate(*run, "--plot").code == 0
    assert sound.with_suffix(".png").read_bytes().startswith(b"\x89PNG") and sound.stat().st_mtime_ns == made
    assert generate(*run, "--plot").code == 0


def test_other_settings_give_other_clips_next_to_the_first(generate: Generate, here: Path) -> None:
    for options in ((), ("--num-steps", 3), ("--num-steps", 3), ("--format", "flac"), ()):
        assert generate("church bells", "-o", "out", *options).code == 0
    assert [name for name in names(here / "out") if not name.endswith(".json")] == [
        "church-bells_seed0-2.wav",
        "church-bells_seed0-3.flac",
        "church-bells_seed0.wav",
    ]
    assert_whole(here / "out")


@pytest.mark.slow
def test_foreign_and_edited_files_are_never_touched(generate: Generate, here: Path) -> None:
    foreign = {"rain_seed0.json": "{}", "rain_seed0-2.png": "mine", "rain_seed0-3.ogg": "mine"}
    for name, text in foreign.items():
        (here / name).write_text(text)
    [made] = generate("rain", "--plot", "--json").json
    assert made["path"] == "rain_seed0-4.wav"
    (here / "rain_seed0-4.wav").write_text("edited")
    [again] = generate("rain", "--json").json
    assert again["path"] == "rain_seed0-5.wav"
    assert (here / "rain_seed0-4.wav").read_text() == "edited"
    assert {name: (here / name).read_text() for name in foreign} == foreign


def test_force_replaces_a_clip_in_place(generate: Generate, here: Path) -> None:
    generate("rain")
    before = (here / "rain_seed0.wav").read_bytes()
    result = generate("rain", "--force")
    assert result.out.startswith("rain_seed0.wav")
    assert names(here) == ["rain_seed0.json", "rain_seed0.wav"]
    assert (here / "rain_seed0.wav").read_bytes() == before


def test_lines_of_a_jsonl_carry_their_own_settings(generate: Generate, here: Path) -> None:
    lines = [
        {
            "prompt": "rain", "seconds": 1, "seed": 4, "negative_prompt": "wind", "guidance_scale": 1.5, "num_steps": 1,
            "sampler": "euler", "time_shift": 2, "candidates": 2,
        },
        {"prompt": "rain", "name": "My clip/1"},
        {"prompt": "rain", "name": "My clip/1"},
    ]  # fmt: skip
    Path("prompts.jsonl").write_text("\n\n".join(map(json.dumps, lines)))
    first, second = generate("--prompts", "prompts.jsonl", "--seed", 8, "--json").json
    assert {key: first[key] for key in lines[0]} == lines[0]
    assert (first["path"], second["path"]) == ("rain_seed4.wav", "my-clip-1.wav")
    assert (second["seed"], second["seconds"]) == (8, 0.5)


def test_lines_with_the_names_of_earlier_versions_are_read(generate: Generate, here: Path) -> None:
    Path("prompts.jsonl").write_text('{"prompt": "rain", "steps": 3, "guidance": 1.5, "negative": "wind"}')
    [made] = generate("--prompts", "prompts.jsonl", "--json").json
    assert (made["num_steps"], made["guidance_scale"], made["negative_prompt"]) == (3, 1.5, "wind")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"prompt": "rain"}\n{"prompt": "rain", "secods": 3}', ["prompts.jsonl:2:", "secods", "'seconds'"]),
        (b'{"prompt": "rain", "seconds": "3"}', ["prompts.jsonl:1:", "'seconds'", "a number from 0.5 to 30"]),
        (b'{"prompt": "rain", "num_steps": 2.5}', ["prompts.jsonl:1:", "'num_steps'", "whole number"]),
        (b'{"prompt": "rain", "steps": 2, "num_steps": 2}', ["prompts.jsonl:1:", "'steps' and 'num_steps'"]),
        (b'{"prompt": "rain", "sampler": "hoin"}', ["prompts.jsonl:1:", "'sampler'", "euler", "'heun'"]),
        (b'{"prompt": "rain", "sampler": ["heun"]}', ["prompts.jsonl:1:", "'sampler'", "euler"]),
        (b'{"prompt": "rain", "time_shift": 0}', ["prompts.jsonl:1:", "'time_shift'", "0.1 to 10"]),
        (b'{"prompt": "rain", "seed": true}', ["prompts.jsonl:1:", "'seed'", "true"]),
        (b'{"prompt": "rain", "guidance_scale": NaN}', ["prompts.jsonl:1:", "'guidance_scale'", "0 to 20"]),
        (b'{"prompt": 7}', ["prompts.jsonl:1:", "must be text, not 7"]),
        (b'{"seed": 7}', ["prompts.jsonl:1:", "prompt"]),
        (b'{"prompt": "a\\u0000b"}', ["prompts.jsonl:1:", "U+0000", "position 1"]),
        (b'{"prompt": "\\ud800"}', ["prompts.jsonl:1:", "U+D800"]),
        (b'"rain"', ["prompts.jsonl:1:", "object"]),
        (b'{"prompt": "rain"', ["prompts.jsonl:1:", "JSON"]),
        (b"\n \n", ["prompts.jsonl", "no prompt"]),
        (b"\xff\xfe\x00", ["prompts.jsonl", "UTF-8"]),
    ],
)
def test_wrong_lines_are_named_before_anything_is_generated(
    generate: Generate, here: Path, content: bytes, words: list[str]
) -> None:
    Path("prompts.jsonl").write_bytes(content)
    assert_one_line(generate("--prompts", "prompts.jsonl"), *words)
    assert names(here) == ["prompts.jsonl"]


@pytest.mark.slow
def test_ctrl_c_keeps_finished_clips_and_the_next_run_continues(generate: Generate, here: Path, model: Path) -> None:
    prompts = write_prompts([f"rain number {number}" for number in range(8)])
    settings = ("--seconds", 0.5, "--steps", 200)
    process = start(
        "generate", "--model", model, "--prompts", prompts, "-o", "out", *settings,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert result.code == 130
    assert "of 8 sounds are finished" in result.err.splitlines()[-1]
    assert "Traceback" not in result.err
    finished = len(list((here / "out").glob("*.wav")))
    assert 2 <= finished < 8
    assert_whole(here / "out")

    lines = generate("--prompts", prompts, "-o", "out", *settings, "--json").json
    assert sum(line["skipped"] for line in lines) == finished
    assert len(list((here / "out").glob("*.wav"))) == 8
    assert_whole(here / "out")


@pytest.mark.slow
def test_two_processes_fill_one_folder(here: Path, model: Path) -> None:
    prompts = write_prompts(PROMPTS)
    command = ("generate", "--model", model, "--seconds", 0.5, "--steps", 2, "--prompts", prompts, "-o", "out")
    processes = [start(*command) for _ in range(2)]
    assert [finish(process).code for process in processes] == [0, 0]
    assert len(names(here / "out")) == 6
    assert_whole(here / "out")


@pytest.mark.slow
def test_a_full_disk_keeps_what_is_whole(here: Path, model: Path) -> None:
    lines = [{"prompt": "rain", "seconds": 0.5}, {"prompt": "rain", "seconds": 3}, {"prompt": "wind", "seconds": 0.5}]
    Path("prompts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    process = start(
        "generate", "--model", model, "--steps", 1, "--prompts", "prompts.jsonl", "-o", "out",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )  # fmt: skip
    result = finish(process)
    assert result.code == 2
    assert len(result.err.splitlines()) == 1
    assert "cannot write" in result.err
    assert [name for name in names(here / "out") if name.endswith(".wav")] == ["rain_seed0.wav"]
    assert_whole(here / "out")


@pytest.mark.slow
def test_a_small_file_system_that_fills_up(here: Path, model: Path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare to mount a small file system")
    (here / "disk").mkdir()
    script = (
        "mount -t tmpfs -o size=32k tmpfs disk || exit 77; "
        f'"$PYTHON" -m clapgen.cli generate --model {model} rain --seconds 4 --steps 1 -o disk/rain.wav; '
        "code=$?; ls -A disk; exit $code"
    )
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
        capture_output=True, text=True, env={**environment(), "PYTHON": sys.executable}, check=False,
    )  # fmt: skip
    if done.returncode not in (0, 2):
        pytest.skip(f"no small file system here: {done.stderr}")
    assert_one_line(Result(done.returncode, done.stdout, done.stderr), "disk/rain.wav", "disk is full")
