"""The command as a whole: instant help, clean pipes, one-line errors, no network."""

import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import typer
from command_line import Result, assert_one_line, environment

from clapgen import __version__
from clapgen.cli.app import app

HEAVY = ("torch", "numpy", "transformers", "diffusers", "soundfile", "soxr", "omegaconf", "generation", "pretrain")


def commands(group: object, name: str = "clapgen") -> Iterator[tuple[str, object]]:
    yield name, group
    for verb, command in getattr(group, "commands", {}).items():
        yield from commands(command, f"{name} {verb}")


COMMANDS = dict(commands(typer.main.get_command(app)))


def test_help_is_instant_and_imports_nothing_heavy() -> None:
    line = [sys.executable, "-X", "importtime", "-m", "clapgen.cli", "--help"]
    times = []  # CPU time: other processes may be running
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(line, capture_output=True, text=True, env=environment(), check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    imported = set(re.findall(r"\|\s+(\S+)$", done.stderr, flags=re.MULTILINE))
    assert "clapgen.cli.generate" in imported
    assert imported.isdisjoint(HEAVY)
    assert min(times) < 0.4


def test_version(clapgen: Callable[..., Result]) -> None:
    assert clapgen("--version") == Result(0, f"clapgen {__version__}\n", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_explained(name: str) -> None:
    command = COMMANDS[name]
    assert command.help  # type: ignore[attr-defined]
    for parameter in command.params:  # type: ignore[attr-defined]
        assert parameter.help, f"{name} {parameter.name}"
        assert parameter.help.endswith((".", "]", ")")), f"{name} {parameter.name}: {parameter.help}"


def test_the_bare_command_lists_the_subcommands(clapgen: Callable[..., Result]) -> None:
    result = clapgen()
    assert result.code == 0
    for verb in ("generate", "embed", "classify", "score", "models", "train", "pretrain", "doctor"):
        assert verb in result.out


def test_mistyped_verbs_and_options_get_a_suggestion(clapgen: Callable[..., Result]) -> None:
    assert_one_line(clapgen("genrate", "rain"), "genrate", "'generate'")
    assert_one_line(clapgen("generate", "rain", "--stepz", "3"), "--stepz", "--steps")


def test_debug_shows_the_traceback_in_any_position(clapgen: Callable[..., Result]) -> None:
    for arguments in (("--debug", "score", "x"), ("score", "x", "--debug")):
        result = clapgen(*arguments)
        assert result.code == 2
        assert "Traceback" in result.err
        assert result.err.splitlines()[-1].startswith("clapgen: ")
    assert "Traceback" not in clapgen("generate", "", "--", "--debug").err


def test_a_pipe_that_is_closed_early_is_not_an_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m clapgen.cli --help | true", shell=True, capture_output=True, env=environment(), check=True
    )
    assert done.stderr == b""


def test_pretrain_is_mounted(clapgen: Callable[..., Result]) -> None:
    result = clapgen("pretrain", "--help")
    assert result.code == 0
    assert "manifest" in result.out


def test_doctor_reports_versions(clapgen: Callable[..., Result]) -> None:
    [report] = clapgen("doctor", "--json").json
    assert report["system"]["clapgen"] == __version__
    assert "torch" in clapgen("doctor").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "vocoder"), ["vocoder", "autoencoder"]),
        (("train", "clap", "--config", "nowhere.yaml"), ["nowhere.yaml"]),
        (("train", "clap", "steps"), ["'steps'", "key=value"]),
        (("train", "clap", "training.stepz=3"), ["stepz", "steps"]),
        (("train", "autoencoder", "training.stepz=3"), ["stepz", "steps"]),
        (("train", "diffusion", "training.stepz=3"), ["stepz", "steps"]),
    ],
)
def test_wrong_training_commands(clapgen: Callable[..., Result], arguments: tuple[str, ...], words: list[str]) -> None:
    assert_one_line(clapgen(*arguments), *words)


def test_training_without_its_extra_says_what_to_install(
    clapgen: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert_one_line(clapgen("train", "clap"), "accelerate", "clapgen[train]")
