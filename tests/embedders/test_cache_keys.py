"""What an embedding depends on is in its cache key: nothing else's embedding is ever taken for it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from clapgen.embedders import cache as embedding_cache
from clapgen.embedders import text_cache
from clapgen.embedders.cache import embed_files
from clapgen.embedders.store import MemoryStore
from clapgen.embedders.text_cache import embed_texts
from clapgen.errors import ClapgenError
from clapgen.evaluation import composed_sounds
from clapgen.evaluation.composed_sounds import embed_items
from clapgen.evaluation.context import EvaluationContext
from clapgen.metrics.embeddings.composition_items import order_items

RATE = 8000
PARTS = [("hash", "other"), ("window_policy", "other"), ("device", "cuda:0"), ("dim", 8), ("sample_rate", 4000)]


class Vocabulary:
    def __init__(self, words: str) -> None:
        self.words = words

    def to_str(self) -> str:
        return self.words


class Embedder:
    """Embeds everything as the number of times it was asked, so that what is not from the cache shows."""

    def __init__(self, **changed: Any) -> None:
        self.name, self.hash, self.dim, self.sample_rate = "counting", "hash", 4, RATE
        self.window_policy, self.device, self.logit_scale = "whole clips", "cpu", torch.tensor(1.0)
        self.tokenizer = Vocabulary("a b c")
        vars(self).update(changed)
        self.asked = 0

    def embed_audio(self, waveforms: Sequence[Any], sample_rate: int) -> torch.Tensor:
        return self._counted(len(waveforms))

    def embed_frames(self, waveform: Any, sample_rate: int) -> torch.Tensor:
        return self._counted(3)

    def embed_text(self, texts: Sequence[str]) -> torch.Tensor:
        return self._counted(len(texts))

    def _counted(self, rows: int) -> torch.Tensor:
        self.asked += 1
        return torch.full((rows, self.dim), float(self.asked))


def length(waveform: np.ndarray, sample_rate: int) -> dict[str, Any]:
    """A fact about a sound."""
    return {"samples": len(waveform), "version": embedding_cache.EMBEDDING_VERSION}


@pytest.fixture
def sounds(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{index}.wav" for index in range(4)]
    for path in paths:
        soundfile.write(path, 0.1 * rng.standard_normal(RATE), RATE)
    return paths


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part[0])
def test_every_part_of_an_embedder_is_in_the_keys(sounds: list[Path], part: tuple[str, Any]) -> None:
    store, first, other = MemoryStore(), Embedder(), Embedder(**dict([part]))
    for _ in range(2):
        embed_files(sounds[:1], first, store)
        embed_texts(["rain"], first, store)
    assert first.asked == 2
    embed_files(sounds[:1], other, store)
    embed_texts(["rain"], other, store)
    assert other.asked == 2


def test_the_vocabulary_is_in_the_keys_of_texts() -> None:
    store, other = MemoryStore(), Embedder(tokenizer=Vocabulary("a b d"))
    embed_texts(["rain"], Embedder(), store)
    embed_texts(["rain"], other, store)
    assert other.asked == 1


def test_a_new_version_of_the_code_computes_everything_again(
    sounds: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, embedder = MemoryStore(), Embedder()
    found = []
    for version in (1, 2):
        monkeypatch.setattr(embedding_cache, "EMBEDDING_VERSION", version)
        monkeypatch.setattr(text_cache, "EMBEDDING_VERSION", version)
        embedder.asked = 0
        facts = embed_files(sounds[:1], embedder, store, inspect=length).facts
        embed_texts(["rain"], embedder, store)
        found.append((embedder.asked, facts[0]["version"]))
    assert found == [(2, 1), (2, 2)]


def test_frames_and_clips_have_keys_of_their_own(sounds: list[Path]) -> None:
    store, embedder = MemoryStore(), Embedder()
    for _ in range(2):
        found = embed_files(sounds[:1], embedder, store, frames=True)
        assert found.embeddings.tolist() == [[1.0] * 4]
        assert found.frames[0].tolist() == [[2.0] * 4] * 3
    assert embed_files(sounds[:1], embedder, store).embeddings.shape == (1, 4)


def test_composed_sounds_are_known_by_their_clips_their_length_and_the_version(
    sounds: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = EvaluationContext(Embedder())
    clips = context.embed(sounds, "")
    one = order_items(["a", "b"], 1)
    other = [replace(item, clips=tuple(clip + 2 for clip in item.clips)) for item in one]
    embedder = context.clap

    def asked(*arguments: Any) -> int:
        before = embedder.asked  # type: ignore[attr-defined]
        embed_items(*arguments)
        return embedder.asked - before  # type: ignore[attr-defined]

    assert asked(one, clips, context, "", 0.5) == 1
    assert asked(one, clips, context, "", 0.5) == 0
    assert asked(one, clips, context, "", 0.25) == 1
    assert asked(other, clips, context, "", 0.5) == 1
    for version in ("EMBEDDING_VERSION", "ITEM_VERSION"):
        monkeypatch.setattr(composed_sounds, version, 99)
        assert asked(one, clips, context, "", 0.5) == 1


def test_a_clip_that_changed_since_it_was_hashed_is_not_composed_into_the_cache(sounds: list[Path]) -> None:
    context = EvaluationContext(Embedder())
    clips = context.embed(sounds, "")
    soundfile.write(clips.paths[0], np.full(RATE // 2, 0.1), RATE)
    with pytest.raises(ClapgenError, match="changed while it was being read"):
        embed_items(order_items(["a", "b"], 1), clips, context, "", 0.5)
