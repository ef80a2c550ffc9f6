"""The command as users run it, on a tiny model: in this process where that is enough, in its own where it is not."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from clapgen.cli import run

sys.path.insert(0, str(Path(__file__).parent.parent))
from tiny_model import SAMPLE_RATE, build_tiny_model

REPOSITORY = Path(__file__).parent.parent.parent


@dataclass
class Result:
    """What a command did: its exit code, and what it printed on stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> list[Any]:
        """Every line of stdout as JSON: fails unless stdout is nothing else."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "other", seed=1)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def clapgen(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run a command line in this process."""

    def command(*arguments: object) -> Result:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return command


@pytest.fixture
def generate(clapgen: Callable[..., Result], model: Path) -> Callable[..., Result]:
    """Run `clapgen generate` on the tiny model, quickly; later options win."""

    def command(*arguments: object) -> Result:
        return clapgen("generate", "--model", model, "--seconds", 0.5, "--steps", 2, *arguments)

    return command


def environment() -> dict[str, str]:
    """Environment of a command in its own process, whatever the current folder."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}


def start(*arguments: object, **options: Any) -> "subprocess.Popen[str]":
    """Start a command in its own process."""
    return subprocess.Popen(
        [sys.executable, "-m", "clapgen.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        **options,
    )


def finish(process: "subprocess.Popen[str]") -> Result:
    """Wait for a command that was started."""
    out, err = process.communicate(timeout=60)
    return Result(process.returncode, out, err)


def write_tone(path: Path, seconds: float = 0.5, frequency: float = 440.0) -> Path:
    """A sine as a sound file."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * frequency * time), SAMPLE_RATE)
    return path


def names(folder: Path) -> list[str]:
    """All names in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def assert_one_line(result: Result, *words: str) -> None:
    """The error of a user: exit code 2, nothing on stdout, one line on stderr that says these words."""
    assert result.code == 2, result
    assert result.out == ""
    assert len(result.err.splitlines()) == 1, result.err
    for word in words:
        assert word in result.err, result.err
