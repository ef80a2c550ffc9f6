"""`clapgen reconstruct`: a corpus encoded and decoded, listed together with the originals."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from command_line import Result, assert_one_line

from clapgen.audio import read_audio
from clapgen.data.manifest import read_manifest

Clapgen = Callable[..., Result]


def write_manifest(recordings: list[Path]) -> Path:
    path = Path("manifest.jsonl")
    splits = ["train"] * (len(recordings) - 1) + ["val"]
    fields = [
        {"path": str(p), "captions": [p.stem], "recording": p.stem, "split": s, "free": True}
        for p, s in zip(recordings, splits, strict=True)
    ]
    path.write_text("\n".join(map(json.dumps, fields)))
    return path


def test_training_clips_are_reconstructed_and_listed_with_the_originals(
    clapgen: Clapgen, here: Path, model: Path, recordings: list[Path]
) -> None:
    assert clapgen("reconstruct", write_manifest(recordings), "-o", "rebuilt", "--model", model).code == 0
    clips = read_manifest("rebuilt/manifest.jsonl")
    assert len(clips) == 2 * len(recordings) - 1
    first, again = (clip for clip in clips if clip.recording == recordings[0].stem)
    assert again.path.parent == here / "rebuilt"
    assert (again.captions, again.split, again.free) == (first.captions, "train", True)
    sound, rate = read_audio(again.path)
    assert abs(len(sound) - len(read_audio(first.path, rate)[0])) <= 1
    assert np.isfinite(sound).all()


def test_an_earlier_result_is_not_replaced(clapgen: Clapgen, model: Path, recordings: list[Path]) -> None:
    command = ("reconstruct", write_manifest(recordings[:2]), "-o", "rebuilt", "--model", model)
    assert clapgen(*command).code == 0
    before = Path("rebuilt/manifest.jsonl").read_text()
    assert_one_line(clapgen(*command), "manifest.jsonl")
    assert Path("rebuilt/manifest.jsonl").read_text() == before
    assert clapgen(*command, "--force").code == 0
