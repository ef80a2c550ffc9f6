"""A server on tiny models, in this process, as clients see it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from conftest_server import client_of
from starlette.testclient import TestClient
from tiny_captioner import build_tiny_captioner

from clapgen.server.settings import Settings
from clapgen.testing import tiny_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that generates, in a folder `tiny`."""
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def listener(model: Path) -> Path:
    """A tiny model that captions, in a folder `listener`."""
    return build_tiny_captioner(model.parent / "listener")


@pytest.fixture(scope="session")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def client(model: Path, uploads: Path) -> Iterator[TestClient]:
    settings = Settings(models=(str(model),), data=uploads, max_upload=2_000_000, max_seconds=20.0)
    with client_of(settings) as found:
        yield found


@pytest.fixture(scope="session")
def two_models(model: Path, listener: Path, uploads: Path) -> Iterator[TestClient]:
    """A server that also has the model that captions."""
    with client_of(Settings(models=(str(model), str(listener)), data=uploads)) as found:
        yield found
