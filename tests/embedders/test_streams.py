"""Sounds are embedded while they are read: the same vectors, in order, in bounded memory."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from tiny_captioner import build_spread_model
from tiny_laion import laion

from clapgen.clap import Clap
from clapgen.embedders import embed_stream, embed_streams, load_embedder
from clapgen.errors import ClapgenError


@pytest.fixture(scope="module", params=["clapgen", "laion"])
def embedder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Clap:
    folder = tmp_path_factory.mktemp("models")
    return load_embedder(f"laion:{laion(folder)}" if request.param == "laion" else str(build_spread_model(folder)))


def noise(embedder: Clap, seconds: float, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).standard_normal(round(seconds * embedder.sample_rate))
    return (0.1 * samples).astype(np.float32)


def pieces_of(sound: np.ndarray, size: int = 5000) -> Iterator[np.ndarray]:
    return (sound[start : start + size] for start in range(0, len(sound), size))


@pytest.mark.parametrize("seconds", [0.01, 0.4, 1.0, 1.3, 21.7])
def test_a_stream_gives_bit_for_bit_the_embedding_of_the_whole(embedder: Clap, seconds: float) -> None:
    sound = noise(embedder, seconds)
    [whole] = embedder.embed_audio([sound], embedder.sample_rate)
    found = embed_stream(embedder, pieces_of(sound))
    assert torch.equal(found, whole)
    assert float(found.norm()) == pytest.approx(1.0, abs=1e-5)


def test_the_embedding_of_windows_is_the_normalised_mean_of_theirs(embedder: Clap) -> None:
    window = embedder.window
    time = np.arange(2 * window) / embedder.sample_rate
    sound = (0.5 * np.sin(2 * np.pi * np.where(time < time[-1] / 2, 110, 1500) * time)).astype(np.float32)
    halves = [sound[start : start + window] for start in (0, window // 2, window)]
    mean = torch.cat([embedder.embed_audio([half], embedder.sample_rate) for half in halves]).mean(0)
    assert float(mean.norm()) < 1 - 1e-5
    torch.testing.assert_close(embed_stream(embedder, [sound]), mean / mean.norm(), atol=1e-4, rtol=0)
    assert float(embed_stream(embedder, [sound]).norm()) == pytest.approx(1.0, abs=1e-6)
    assert float(embedder.embed_audio([sound], embedder.sample_rate).norm()) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("batch_size", [1, 3, None])
def test_sounds_keep_their_order_and_an_error_belongs_to_one(embedder: Clap, batch_size: int | None) -> None:
    sounds = [noise(embedder, seconds, seed) for seed, seconds in enumerate((0.2, 3.1, 1.0, 5.3, 0.9))]

    def broken() -> Iterator[np.ndarray]:
        yield sounds[3]
        raise ClapgenError("it breaks in the middle")

    streams = [(index, broken() if index == 3 else pieces_of(sound)) for index, sound in enumerate(sounds)]
    found = dict(embed_streams(embedder, streams, batch_size))
    assert list(found) == [0, 1, 2, 3, 4]
    assert str(found.pop(3)) == "it breaks in the middle"
    expected = embedder.embed_audio(sounds, embedder.sample_rate)
    for index, embedding in found.items():
        torch.testing.assert_close(embedding, expected[index], atol=1e-5, rtol=0)


def test_a_long_sound_is_not_held(embedder: Clap) -> None:
    taken = [0]

    def pieces() -> Iterator[np.ndarray]:
        for seed in range(40):
            taken[0] += 1
            yield noise(embedder, 1.0, seed)

    original = embedder.embed_windows
    seen: list[int] = []
    embedder.embed_windows = lambda windows: seen.append(taken[0]) or original(windows)
    try:
        next(embed_streams(embedder, [("long", pieces())], batch_size=4))
    finally:
        del embedder.embed_windows
    assert seen[0] <= 4 and len(seen) == 20  # embedded all along, not at the end


def test_an_empty_or_impossible_sound_is_an_error(embedder: Clap) -> None:
    for pieces in ([], [np.zeros(5, np.float32), np.full(5, np.nan, np.float32)], [np.full(5, 1e20, np.float32)]):
        with pytest.raises(ClapgenError):
            embed_stream(embedder, pieces)


class Whole:
    """An embedder of a user, without windows."""

    name, hash, dim, sample_rate, window_policy = "whole", "1", 1, 8000, "whole clips"

    def embed_audio(self, waveforms: list[np.ndarray], sample_rate: int) -> torch.Tensor:
        return torch.tensor([[float(waveform.sum())] for waveform in waveforms])


def test_an_embedder_without_windows_gets_the_whole() -> None:
    def broken() -> Iterator[np.ndarray]:
        raise ClapgenError("broken")
        yield

    [(_, first), (_, second)] = embed_streams(Whole(), [("a", pieces_of(np.ones(12_000))), ("b", broken())])
    assert first.tolist() == [12_000] and str(second) == "broken"
