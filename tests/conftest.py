"""What every test needs before torch is imported: threads that sleep while they wait for one another."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def recordings() -> list[Path]:
    """A few real recordings, CC0; see tests/sounds/README.md."""
    return sorted((Path(__file__).parent / "sounds").glob("*.opus"))
