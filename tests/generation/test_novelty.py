"""Sounds that a library has already are generated again with other seeds, and never written."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_sounds import RATE, sound

from clapgen.audio import write_audio
from clapgen.cli import run
from clapgen.embedders.store import MemoryStore
from clapgen.errors import ClapgenError
from clapgen.library import Library
from clapgen.testing import tiny_model
from generation import Generation, GenerationRequest, render
from generation.novelty import NoveltyGuard, TooSimilarError


class Rains:
    """A `Generator` that makes the same rain for a seed below 2**32, and another for each step of 2**32."""

    sample_rate = RATE
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def describe(self):
        return {"dtype": "float32", "model": {"name": "rains", "hashes": {}}}

    def prompt_warnings(self, prompts):
        return {}

    def generate(self, prompts, seeds=None, **settings):
        self.seeds += seeds
        return [
            Generation(sound("rain", seed >> 32, 2.0), RATE, prompt, seed, 0.5, [0.5])
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def library(tmp_path: Path, model: Path) -> Library:
    """Has the first two rains, quieter, as parts of longer recordings."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number in range(2):
        part = np.concatenate([sound("wind", number, 1.0), 0.5 * sound("rain", number, 2.0)])
        write_audio(folder / f"{number}.wav", part, RATE)
    library = Library.open(tmp_path / "lib", str(model), "cpu", create=True)
    library.add(folder, MemoryStore())
    return library


def test_known_recordings_are_replaced_by_new_ones(library: Library, tmp_path: Path) -> None:
    rains, said = Rains(), []
    guard = NoveltyGuard(rains, library, 1.0, cache=MemoryStore(), report=said.append)
    request = GenerationRequest("rain", seed=7)
    [clip] = render([request], tmp_path / "out", guard)
    assert rains.seeds == [7, 7 + 2**32, 7 + 2**33]
    assert len(said) == 2 and all("the recording" in sentence for sentence in said)
    novelty = clip.sidecar["novelty"]
    assert (novelty["requested_seed"], novelty["seed"], clip.sidecar["seed"]) == (7, 7 + 2**33, 7 + 2**33)
    assert [(each["seed"], each["same_recording"]) for each in novelty["rejected"]] == [(7, True), (7 + 2**32, True)]
    assert {Path(each["nearest"]).name for each in novelty["rejected"]} == {"0.wav", "1.wav"}
    assert novelty["similarity"] <= 1 and Path(novelty["nearest"]).name in ("0.wav", "1.wav")
    assert json.loads(clip.path.with_suffix(".json").read_text()) == clip.sidecar
    assert clip.path.name == "rain_seed7.wav"

    [again] = render([request], tmp_path / "out", guard)
    assert again.generation is None and again.path == clip.path and len(rains.seeds) == 3
    stricter = NoveltyGuard(rains, library, 0.9999, cache=MemoryStore(), tries=1)
    with pytest.raises(TooSimilarError):
        list(render([request], tmp_path / "out", stricter))


def test_nothing_is_written_if_no_try_is_new(library: Library, tmp_path: Path) -> None:
    guard = NoveltyGuard(Rains(), library, 1.0, tries=2)
    with pytest.raises(TooSimilarError, match=r"all of 2 tries .* --tries"):
        list(render([GenerationRequest("rain")], tmp_path / "out", guard))
    assert not list((tmp_path / "out").glob("*"))


def test_similar_embeddings_are_rejected(library: Library) -> None:
    guard = NoveltyGuard(Rains(), library, 1.0)
    new = Generation(sound("rain", 5, 2.0), RATE, "rain", 0, 0.5)
    found = guard.compare(new)
    assert not found.same_recording
    below = NoveltyGuard(Rains(), library, found.similarity - 0.001, tries=1)
    with pytest.raises(TooSimilarError, match="similar to"):
        below.generate(["rain"], seeds=[5 << 32])
    [kept] = guard.generate(["rain"], seeds=[5 << 32])
    assert kept.novelty is not None and kept.novelty["similarity"] == found.similarity and not kept.novelty["rejected"]


def test_missing_files_are_compared_by_embedding(library: Library, caplog: pytest.LogCaptureFixture) -> None:
    for path in library.folders[0].glob("*.wav"):
        path.unlink()
    guard = NoveltyGuard(Rains(), library, 1.0)
    assert not guard.compare(Generation(sound("rain", 0, 2.0), RATE, "rain", 0, 0.5)).same_recording
    guard.compare(Generation(sound("rain", 1, 2.0), RATE, "rain", 0, 0.5))
    assert len(caplog.messages) == 2 and all("by its embedding only" in message for message in caplog.messages)


@pytest.mark.slow
def test_command(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setenv("CLAPGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    quick = ["generate", "rain", "--model", str(model), "--seconds", "1", "--num-steps", "2"]
    assert run([*quick, "-o", "first/rain.wav"]) == 0
    library = Library.open("lib", str(model), "cpu", create=True)
    library.add("first", MemoryStore())
    guarded = [*quick, "--library", "lib", "--neighbours", "0", "--max-similarity", "1", "-o", "second/"]
    assert run(guarded) == 0
    captured = capsys.readouterr()
    assert "the recording rain.wav again" in captured.err
    [sidecar] = map(json.loads, (path.read_text() for path in Path("second").glob("*.json")))
    assert sidecar["seed"] == 2**32 and sidecar["novelty"]["rejected"][0]["seed"] == 0 and not sidecar["neighbours"]
    assert run(guarded) == 0
    assert "already generated" in capsys.readouterr().err
    assert (
        run(["generate", "--from", next(map(str, Path("second").glob("*.json"))), "--model", str(model), "-o", "a.wav"])
        == 0
    )
    assert "identical to the original, bit for bit" in capsys.readouterr().err

    for wrong, words in (
        (["--max-similarity", "0.9"], "needs --library"),
        (["--tries", "3"], "needs --max-similarity"),
        (["--max-similarity", "1.5", "--library", "lib"], "at most 1"),
        (["--max-similarity", "0.9", "--library", "lib", "--tries", "0"], "--tries must be 1"),
        (["--max-similarity", "0.9", "--library", "nowhere"], "does not exist"),
        (["--max-similarity", "0.0001", "--library", "lib", "--neighbours", "0", "--tries", "2"], "all of 2 tries"),
    ):
        assert run([*quick, "-o", "third.wav", *wrong]) == 2
        assert words in capsys.readouterr().err.splitlines()[-1]
    assert not Path("third.wav").exists()
    Library.open("none", str(model), "cpu", create=True)
    assert run([*quick, "-o", "third.wav", "--max-similarity", "0.9", "--library", "none"]) == 2
    assert "is empty" in capsys.readouterr().err


def test_errors_of_a_batch_come_last(tmp_path: Path, library: Library) -> None:
    """One sound that cannot be new does not keep the others from being generated."""
    from clapgen.cli.generate_novelty import Novelty

    class Some(Rains):
        def generate(self, prompts, seeds=None, **settings):
            return [
                Generation(sound(*(("rain", 0) if prompt == "rain" else ("birds", 0)), 2.0), RATE, prompt, seed, 0.5)
                for prompt, seed in zip(prompts, seeds, strict=True)
            ]

    requests = [GenerationRequest(prompt) for prompt in ("rain", "birds")]
    clips = Novelty(library, 1.0, 2).render(requests, Some(), lambda some, maker: render(some, tmp_path / "out", maker))
    assert next(clips).request.prompt == "birds"
    with pytest.raises(ClapgenError, match="1 of 2 sounds were not written"):
        next(clips)
