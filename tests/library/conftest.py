"""Libraries of a few tones, made with a tiny CLAP."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clapgen.embedders.store import MemoryStore
from clapgen.library import Library
from clapgen.testing import SAMPLE_RATE, tiny_model

Write = Callable[..., Path]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_model(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_model(tmp_path_factory.mktemp("models") / "other", seed=1))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write noise of some seconds as `name` below the test's folder; another seed is another content."""

    def write(name: str, seconds: float = 0.3, seed: int = 0) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(seed).normal(0, 0.1, round(seconds * SAMPLE_RATE))
        soundfile.write(path, noise, SAMPLE_RATE)
        return path

    return write


@pytest.fixture
def sounds(write: Write, tmp_path: Path) -> Path:
    """A folder with three sounds, the last of which is longer than the window of one second."""
    for seed, (name, seconds) in enumerate({"a.wav": 0.3, "b.wav": 0.5, "sub/long.wav": 2.6}.items()):
        write(f"sounds/{name}", seconds, seed)
    return tmp_path / "sounds"


@pytest.fixture
def library(tmp_path: Path, model: str) -> Library:
    """An empty library next to the sounds."""
    return Library.open(tmp_path / "lib", model, "cpu", create=True)


@pytest.fixture
def cache() -> MemoryStore:
    return MemoryStore()
