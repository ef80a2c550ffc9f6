"""`clapgen pretrain simulate`: a corpus of scenes on disk that trains like any other."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from clapgen.cli import run
from clapgen.cli.pretrain import app
from clapgen.data.manifest import Clip, read_manifest
from clapgen.errors import ClapgenError
from clapgen.scenes.manifest import scene_fields, scene_of
from pretrain.data.shards import unpack_shards

RATE = 16000


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Six clips of six labels: a tone each, of which one is silent, one lasts 30 ms and one is for validation."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    lines = []
    lengths = {"dog": 0.5, "rain": 6.0, "siren": 3.0, "bell": 1.0, "cat": 0.03, "owl": 1.0, "piano": 2.0}
    for number, (label, seconds) in enumerate(lengths.items()):
        waveform = 0.2 * np.sin(np.arange(round(seconds * RATE)) * (0.05 + 0.1 * number))
        soundfile.write(folder / f"{label}.wav", waveform * (label != "owl"), RATE)
        line = {"path": f"{label}.wav", "labels": [label], "captions": [f"The sound of a {label}"], "free": True}
        line |= {"copyleft": {"rain": "gpl", "dog": "sharealike"}.get(label)}
        line |= {"split": "val" if label == "piano" else "train", "recording": label, "licence": f"CC {label}"}
        lines.append(json.dumps(line))
    (folder / "manifest.jsonl").write_text("\n".join(lines))
    return folder / "manifest.jsonl"


def simulate(corpus: Path, output: Path, *arguments: str) -> Any:
    given = ["simulate", str(corpus), "-o", str(output), "--cache", str(corpus.parent / "cache"), *arguments]
    return CliRunner().invoke(app, [*given, "--sample-rate", "16000"])


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_scenes_are_written_and_read_back(tmp_path: Path, corpus: Path):
    result = simulate(corpus, tmp_path / "out", "--count", "20", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["scenes"] == 20
    clips = read_manifest(tmp_path / "out/manifest.jsonl")
    assert len(clips) == 20
    for clip in clips:
        scene = scene_of(clip)
        assert scene is not None and scene.captions == tuple(clip.captions)
        labels = {event.label for event in scene.events}
        assert labels <= set(clip.labels) <= {"dog", "rain", "siren", "bell"}  # audible, of the split
        info = soundfile.info(clip.path)
        assert info.frames / info.samplerate == pytest.approx(scene.duration, abs=1e-3) and scene.duration <= 5
        assert clip.split == "train" and clip.free and clip.recording == "; ".join(sorted(labels))
        assert scene_of(Clip(clip.path, clip.captions, extra=scene_fields(scene))) == scene
        strictest = "gpl" if "rain" in labels else "sharealike" if "dog" in labels else None
        assert clip.extra.get("copyleft") == strictest
        assert clip.licence == "; ".join(f"CC {label}" for label in sorted(labels))
    assert any(scene_of(clip).twins for clip in clips) and any(scene_of(clip).negatives for clip in clips)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, corpus: Path):
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        assert simulate(corpus, tmp_path / name, "--count", "4", "--seed", seed, "--shards").exit_code == 0
    assert digests(tmp_path / "a") == digests(tmp_path / "b") != digests(tmp_path / "c")
    assert (tmp_path / "a/shards/000000.tar").exists()
    unpacked, count = unpack_shards(sorted((tmp_path / "a/shards").glob("*.tar")), tmp_path / "unpacked")
    originals = [scene_of(clip) for clip in read_manifest(tmp_path / "a/manifest.jsonl")]
    assert count == 4 and [scene_of(clip) for clip in read_manifest(unpacked)] == originals


def test_unusable_clips_are_named(tmp_path: Path, corpus: Path, caplog: pytest.LogCaptureFixture):
    assert simulate(corpus, tmp_path / "out", "--count", "2").exit_code == 0
    [line] = [record.getMessage() for record in caplog.records if "skipped" in record.getMessage()]
    assert (
        line.startswith("skipped: 2 of 6 clips, shorter than 50 ms, silent") and "cat.wav" in line and "owl.wav" in line
    )


def test_kinds_and_formats_are_chosen(tmp_path: Path, corpus: Path):
    result = simulate(corpus, tmp_path / "out", "--count", "3", "--kinds", "sequence", "--format", "opus")
    assert "3 scenes (3 sequence)" in result.stdout
    assert len(list((tmp_path / "out/scenes").glob("*.opus"))) == 3


def test_a_folder_is_replaced_only_if_asked_and_only_if_it_holds_scenes(
    tmp_path: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
):
    output = tmp_path / "out"
    simulate(corpus, output, "--count", "1")
    before = digests(output)
    options = ["--count", "2", "--sample-rate", "16000", "--cache", str(corpus.parent / "cache")]
    command = ["pretrain", "simulate", str(corpus), "-o", str(output), *options]
    assert run(command) == 2
    assert "already exists" in capsys.readouterr().err and digests(output) == before
    assert run([*command, "--force"]) == 0
    assert len(read_manifest(output / "manifest.jsonl")) == 2
    (output / "thesis.txt").write_text("precious")
    assert run([*command, "--force"]) == 2
    assert "other files" in capsys.readouterr().err and (output / "thesis.txt").exists()
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kinds", "fugue"], "unknown kind of scene: 'fugue'"),
        (["--format", "doc"], "unsupported format '.doc'"),
        (["--split", "test"], 'no clip of split "test"'),
        (["--split", "val"], "only the label 'piano'"),
        (["--label-field", "licens"], "no clip of the manifest has 'licens'."),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    tmp_path: Path, corpus: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
):
    output = tmp_path / "out"
    cache = ["--cache", str(corpus.parent / "cache"), "--sample-rate", "16000"]
    assert run(["pretrain", "simulate", str(corpus), "-o", str(output), *cache, *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1
    assert not output.exists() and not list(tmp_path.glob(".out*"))


EVENT = {"clip": 0, "label": "dog", "start": 0.0, "duration": 1.0}
LINE: dict[str, Any] = {"duration": 2.0, "relation": "single", "events": [EVENT]}


def test_a_clip_that_is_no_scene_has_none():
    assert scene_of(Clip(Path("x.wav"), ["a dog"], extra={"duration": 2.0})) is None
    assert scene_of(Clip(Path("x.wav"), ["a dog"], extra=LINE)) is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"events": []}, "needs events"),
        ({"events": 3}, '"events" must be a list'),
        ({"events": [EVENT | {"start": "now"}]}, r'events\[0\]: "start" must be a number, not "now"'),
        ({"events": [EVENT | {"duration": float("nan")}]}, '"duration" must be a number'),
        ({"events": [EVENT | {"distance": 2}]}, '"distance" must be 0 to 1, not 2'),
        ({"events": [EVENT | {"label": " "}]}, '"label" must be a text'),
        ({"events": [EVENT | {"clip": True}]}, '"clip" must be the number of a clip'),
        ({"events": [EVENT | {"start": 1.5}]}, "ends at 2.50 s, after the scene"),
        ({"relation": "fugue"}, '"relation" must be one of single'),
        ({"duration": None}, '"duration" must be a number'),
        ({"negatives": [{"kind": "order"}]}, r'negatives\[0\]: "caption" must be a text'),
        ({"twins": [LINE]}, r'twins\[0\]: "captions" must be a list'),
    ],
)
def test_scenes_that_are_not_valid_are_one_clear_line(change: dict[str, Any], message: str):
    with pytest.raises(ClapgenError, match=f"x.wav.*{message}") as raised:
        scene_of(Clip(Path("x.wav"), ["a dog"], extra=LINE | change))
    assert "\n" not in str(raised.value)
