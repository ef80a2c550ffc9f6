"""Running the command in its own process, and what is asked of its answers."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from clapgen.testing import SAMPLE_RATE

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


Command = Callable[..., Result]


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


def write_parts(path: Path, *parts: tuple[float, float, float]) -> Path:
    """A sound of tones one after another, each of (seconds, Hz, peak)."""
    pieces = [peak * np.sin(2 * np.pi * hz * np.arange(int(s * SAMPLE_RATE)) / SAMPLE_RATE) for s, hz, peak in parts]
    soundfile.write(path, np.concatenate(pieces), SAMPLE_RATE, subtype="FLOAT")
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
