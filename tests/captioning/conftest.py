"""A tiny model, tiny recipes, and a record of opened audio files."""

import json
from pathlib import Path

import pytest
from captioner_runs import SIZES, TRAINING, Overrides
from tiny_captioner import SENTENCES, build_spread_model

from clapgen.audio import decoding


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_spread_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def overrides(tmp_path: Path, model: Path) -> Overrides:
    """Overrides for a tiny training on the sentences; later ones win."""
    (tmp_path / "captions.txt").write_text("\n".join(SENTENCES))

    def make(steps: int, *more: str, text: str | None = "captions.txt") -> list[str]:
        own = [f"clap={model}", f"cache={tmp_path / 'cache'}", f"training.steps={steps}"]
        files = [f"text={tmp_path / text}"] if text else []
        where = [f"training.output={tmp_path / 'run'}"]
        return [*files, *own, *where, *SIZES, *(f"training.{setting}" for setting in TRAINING), *more]

    return make


@pytest.fixture
def pairs(tmp_path: Path, recordings: list[Path]) -> Path:
    path = tmp_path / "pairs.jsonl"
    rows = [{"path": str(clip), "captions": [f"The sound of a {clip.stem}"], "free": True} for clip in recordings]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the audio files opened from now on; clapgen reads all of them through one function."""
    names: list[str] = []
    original = decoding.seekable_stream
    record = lambda source: names.append(str(source)) or original(source)  # noqa: E731
    monkeypatch.setattr(decoding, "seekable_stream", record)
    return names
