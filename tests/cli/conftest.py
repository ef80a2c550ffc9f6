"""The command as users run it, in this process, on a tiny model."""

from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Result, write_tone
from tiny_captioner import build_tiny_captioner

from captioning.captioner import Captioner
from clapgen.cli import run
from clapgen.testing import tiny_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models") / "other", seed=1)


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
        return clapgen("generate", "--model", model, "--seconds", 0.5, "--num-steps", 2, *arguments)

    return command


@pytest.fixture(scope="session")
def captioner_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_captioner(tmp_path_factory.mktemp("models") / "tiny-captioner")


@pytest.fixture(scope="session")
def captioner(captioner_model: Path) -> Captioner:
    return Captioner.from_pretrained(captioner_model)


@pytest.fixture
def caption(clapgen: Callable[..., Result], captioner_model: Path) -> Callable[..., Result]:
    """Run `clapgen caption` with the tiny captioner."""
    return lambda *arguments: clapgen("caption", "--model", captioner_model, *arguments)


@pytest.fixture
def pitches(here: Path) -> list[Path]:
    """Four tones in a folder `tones`, which the tiny captioner does not call the same."""
    (here / "tones").mkdir()
    frequencies = {"a": 110.0, "b": 300.0, "c": 1000.0, "d": 3000.0}
    return [write_tone(Path("tones") / f"{name}.wav", 0.6, frequency) for name, frequency in frequencies.items()]
