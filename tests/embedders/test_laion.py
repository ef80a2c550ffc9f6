"""LAION's CLAP in transformers' layout: the same log-mels and embeddings as transformers', nothing at random."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_laion import laion
from torch.nn import functional as F

from clapgen.embedders import identity_of, load_clap
from clapgen.embedders.cache import EmbeddingCache, embed_files
from clapgen.embedders.clap_features import ClapFeatures
from clapgen.embedders.streams import embed_stream
from clapgen.errors import ClapgenError

RATE = 48_000


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def tone(seconds: float, hertz: float = 440.0) -> np.ndarray:
    return (0.9 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def click(seconds: float) -> np.ndarray:
    samples = np.zeros(round(seconds * RATE), dtype=np.float32)
    samples[len(samples) // 3] = 1.0
    return samples


SOUNDS = {"noise": noise(1.0), "short": noise(0.3), "tone": tone(1.0), "click": click(0.7), "silence": 0 * noise(1.0)}


class Middle:
    """numpy's random choice, but of the middle."""

    @staticmethod
    def choice(options: Any) -> int:
        return options[len(options) // 2]


def extractor(fusion: bool, padding: str = "repeatpad") -> Any:
    from transformers import ClapFeatureExtractor

    return ClapFeatureExtractor(
        max_length_s=1, truncation="fusion" if fusion else "rand_trunc", padding=padding, frequency_min=50
    )


@pytest.mark.parametrize("padding", ["repeatpad", "repeat", "pad"])
@pytest.mark.parametrize("fusion", [False, True])
@pytest.mark.parametrize("sound", sorted(SOUNDS))
def test_log_mels_are_those_of_transformers(sound: str, fusion: bool, padding: str) -> None:
    original = extractor(fusion, padding)
    expected = original([SOUNDS[sound]], sampling_rate=RATE, return_tensors="pt")["input_features"]
    found = ClapFeatures(original, torch.device("cpu")).of_windows([SOUNDS[sound]])
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("seconds", [1.0, 1.005, 1.02, 1.04, 2.5])
def test_fused_log_mels_are_those_of_transformers_with_crops_from_the_middle_of_each_third(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, clip = extractor(fusion=True), noise(seconds)
    monkeypatch.setattr(np.random, "choice", Middle.choice)
    expected = original([clip], sampling_rate=RATE, return_tensors="pt")
    features, longer = ClapFeatures(original, torch.device("cpu")).of_whole(clip)
    np.testing.assert_allclose(features, expected["input_features"], atol=1e-4, rtol=0)
    assert longer == (seconds > 1.01)  # at least one more frame than a window


@pytest.mark.parametrize("fusion", [False, True])
@pytest.mark.parametrize("depth", [1, 2])  # the second block of a stage has shifted windows
def test_the_fast_tower_is_that_of_transformers(tmp_path: Path, fusion: bool, depth: int) -> None:
    embedder: Any = load_clap(laion(tmp_path, fusion, depth))
    generator = torch.Generator().manual_seed(1)
    for name, parameter in embedder.network.audio_model.named_parameters():
        if "relative_position_bias" in name or name.endswith("bias"):
            parameter.data.normal_(0, 0.5, generator=generator)
    embedder.set_dtype("float32")  # takes up the new weights
    inputs = torch.randn(3, 4 if fusion else 1, 101, 64, generator=generator)
    longer = torch.tensor([[False], [True], [False]])
    with torch.no_grad():
        expected = embedder.network.get_audio_features(input_features=inputs, is_longer=longer).pooler_output
        found = embedder._project(embedder.tower(inputs, torch.tensor([1]) if fusion else None))
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_short_clips_are_never_marked_as_longer(tmp_path: Path) -> None:
    """transformers marks one clip of a batch at random if none is longer, which changes its embedding."""
    embedder: Any = load_clap(laion(tmp_path, fusion=True))
    clips = [noise(0.9, seed) for seed in range(3)]
    features = embedder.features.extractor(clips, sampling_rate=RATE, return_tensors="pt")
    assert features["is_longer"].sum() == 1
    with torch.no_grad():
        none = embedder.network.get_audio_features(features["input_features"], torch.zeros(3, 1, dtype=torch.bool))
        theirs = embedder.network.get_audio_features(**features)
    np.testing.assert_allclose(embedder.embed_audio(clips, RATE), none.pooler_output, atol=1e-5)
    assert not torch.allclose(none.pooler_output, theirs.pooler_output, atol=1e-3)


@pytest.mark.parametrize("choice", ["first", "centre", "fusion"])
def test_one_window_of_a_long_clip(tmp_path: Path, choice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = laion(tmp_path, fusion=True)
    mean: Any = load_clap(folder)
    chosen: Any = load_clap(f"{folder},window={choice}")
    clip = np.concatenate([noise(1.0), tone(1.0), click(1.0)])
    if choice == "fusion":
        monkeypatch.setattr(np.random, "choice", Middle.choice)
        features = mean.features.extractor([clip], sampling_rate=RATE, return_tensors="pt")
        with torch.no_grad():
            expected = mean.network.get_audio_features(**features).pooler_output
    else:
        start = 0 if choice == "first" else RATE
        expected = mean.embed_audio([clip[start : start + RATE]], RATE)
    found = chosen.embed_audio([clip, noise(0.5)], RATE)
    np.testing.assert_allclose(found[:1], expected, atol=1e-5)
    np.testing.assert_allclose(found[1:], mean.embed_audio([noise(0.5)], RATE), atol=1e-5)
    assert not torch.allclose(found[:1], mean.embed_audio([clip], RATE), atol=1e-3)
    pieces = np.split(clip, [1000, 50_000, 50_001, 100_000])
    np.testing.assert_array_equal(embed_stream(chosen, pieces), chosen.embed_audio([clip], RATE)[0])
    assert torch.equal(chosen.embed_text(["rain"]), mean.embed_text(["rain"]))
    assert chosen.embed_audio([], RATE).shape == (0, chosen.dim)


def test_the_cache_knows_the_window_and_the_number_format(tmp_path: Path, recordings: list[Path]) -> None:
    folder, cache = laion(tmp_path / "model"), EmbeddingCache(tmp_path / "cache")
    names = [f"{folder}{options}" for options in ("", ",window=first", ",window=centre", ",dtype=bfloat16")]
    embedders = [load_clap(name) for name in names]
    assert len({str(identity_of(embedder)) for embedder in embedders}) == len(names)
    for _ in range(2):
        tables = [embed_files(recordings[:1], embedder, cache).embeddings for embedder in embedders]
        assert len(np.unique(np.round(np.concatenate(tables), 6), axis=0)) == len(names)


def test_bfloat16_is_close_and_its_embeddings_are_float32(tmp_path: Path) -> None:
    folder = laion(tmp_path)
    exact, rounded = load_clap(folder), load_clap(f"{folder},dtype=bfloat16,window=mean")
    for embed in (lambda clap: clap.embed_audio([noise(2.0)], RATE), lambda clap: clap.embed_text(["a dog"])):
        assert embed(rounded).dtype == torch.float32
        assert F.cosine_similarity(embed(exact), embed(rounded)).min() > 0.999
        assert not torch.equal(embed(exact), embed(rounded))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (",window=middle", "window must be mean, first, centre, fusion"),
        (",window=fusion", "trained without fusion"),
        (",window", "is not an option"),
        (",windows=first", "is not an option"),
        (",dtype=float8", "dtype must be"),
        (",dtype=float16", "use dtype=bfloat16"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: str, words: str) -> None:
    with pytest.raises(ClapgenError, match=words):
        load_clap(f"{laion(tmp_path)}{options}")


def test_a_checkpoint_saves_again(tmp_path: Path) -> None:
    embedder: Any = load_clap(laion(tmp_path / "first", fusion=True))
    embedder.save_pretrained(tmp_path / "second")
    again: Any = load_clap(tmp_path / "second")
    assert torch.equal(again.embed_audio([noise(1.5)], RATE), embedder.embed_audio([noise(1.5)], RATE))
    assert torch.equal(again.embed_text(["rain"]), embedder.embed_text(["rain"]))
    assert again.fuses
