"""`clapgen pretrain` as users type it: manifest, shards, unpack, and one line for each mistake."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from clapgen.cli import run
from clapgen.cli.pretrain import CORPUS_HELP, app
from clapgen.data.audio_cache import AudioCache
from clapgen.data.manifest import read_manifest
from pretrain.data.corpora import CORPORA

runner = CliRunner()


@pytest.fixture
def esc50(tmp_path: Path) -> Path:
    folder = tmp_path / "ESC-50"
    (folder / "audio").mkdir(parents=True)
    (folder / "meta").mkdir()
    rows = [f"{fold}-{fold}7-A-0.wav,{fold},0,dog,True,{fold}7,A" for fold in range(1, 6)]
    (folder / "meta/esc50.csv").write_text("\n".join(["filename,fold,target,category,esc10,src_file,take", *rows]))
    for fold in range(1, 5):
        soundfile.write(folder / f"audio/{fold}-{fold}7-A-0.wav", np.sin(np.arange(400) * fold / 9), 8000)
    return folder


def test_corpus_to_manifest_to_shards_to_cache(tmp_path: Path, esc50: Path) -> None:
    manifest = tmp_path / "manifest.jsonl"
    result = runner.invoke(app, ["manifest", "esc50", str(esc50), "-o", str(manifest)])
    assert result.exit_code == 0
    assert "4 clips (3 train, 1 val)" in result.stdout
    assert "1 clips have no audio" in result.stderr
    assert "5-57-A-0.wav" in result.stderr

    result = runner.invoke(app, ["shards", str(manifest), "-o", str(tmp_path / "shards"), "--clips-per-shard", "3"])
    assert result.exit_code == 0
    shards = sorted(map(str, (tmp_path / "shards").glob("*.tar")))
    assert len(shards) == 2

    result = runner.invoke(app, ["unpack", *shards, "-o", str(tmp_path / "out"), "--json"])
    assert json.loads(result.stdout) == {"manifest": str(tmp_path / "out/manifest.jsonl"), "clips": 4}
    before = AudioCache.build(read_manifest(manifest), 8000, tmp_path / "cache", progress=False)
    after = AudioCache.build(read_manifest(tmp_path / "out/manifest.jsonl"), 8000, tmp_path / "cache", progress=False)
    assert [clip.labels for clip in after.clips] == [clip.labels for clip in before.clips]
    for index in range(4):
        np.testing.assert_array_equal(after.waveform(index), before.waveform(index))


def test_json_counts(tmp_path: Path, esc50: Path) -> None:
    result = runner.invoke(app, ["manifest", "esc50", str(esc50), "-o", str(tmp_path / "m.jsonl"), "--json"])
    counts = {"clips": 4, "splits": {"train": 3, "val": 1}, "free": 4, "missing": 1}
    assert json.loads(result.stdout) == {"manifest": str(tmp_path / "m.jsonl"), **counts}


def test_without_a_command_it_shows_its_help_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pretrain"]) == 2
    said = capsys.readouterr()
    assert "attribution" in said.out + said.err and "See `" not in said.err


def test_the_help_names_every_corpus() -> None:
    assert all(name in CORPUS_HELP for name in CORPORA)


def test_mistakes_are_one_line_and_exit_code_2(tmp_path: Path, esc50: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pretrain", "manifest", "esc5", str(esc50), "-o", str(tmp_path / "m.jsonl")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
    assert "'esc50'" in said.err
    assert not (tmp_path / "m.jsonl").exists()
    assert run(["pretrain", "manifest", "esc50", str(esc50)[:-1], "--out", "x"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_the_attribution_leaves_out_what_the_recipe_does(tmp_path: Path) -> None:
    lines = [{"path": f"{kind}.wav", "licence": "x", "copyleft": kind} for kind in ("gpl", None)]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    output = tmp_path / "list.tsv"
    result = runner.invoke(
        app, ["attribution", str(tmp_path / "m.jsonl"), "-o", str(output), "--exclude-copyleft", "gpl"]
    )
    assert result.exit_code == 0 and "None.wav" in output.read_text() and "gpl.wav" not in output.read_text()
