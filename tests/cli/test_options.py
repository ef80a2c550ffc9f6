"""What naming a model on the command line allows: the hub is reached for models of the hub alone."""

import os
from pathlib import Path

import pytest
from tiny_laion import laion

from clapgen.cli.options import allow_hub_for


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.setenv(variable, "1")


@pytest.mark.usefixtures("offline")
def test_the_hub_is_reached_only_for_a_model_that_is_named_there(tmp_path: Path) -> None:
    for name in ("default", str(tmp_path), f"laion:{laion(tmp_path / 'clap')}"):
        allow_hub_for(name)
        assert os.environ["HF_HUB_OFFLINE"] == os.environ["TRANSFORMERS_OFFLINE"] == "1", name
    allow_hub_for("laion:owner/name")
    assert "HF_HUB_OFFLINE" not in os.environ and "TRANSFORMERS_OFFLINE" not in os.environ
