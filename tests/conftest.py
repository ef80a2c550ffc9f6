"""Settings that must be made before torch is imported, and recordings for every test."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait for each other must not spin
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the networks of the tests are too small to share among threads

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def recordings() -> list[Path]:
    """A few real recordings, CC0; see tests/sounds/README.md."""
    return sorted((Path(__file__).parent / "sounds").glob("*.opus"))
