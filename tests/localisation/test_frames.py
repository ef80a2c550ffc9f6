"""Frames of a sound read as a stream: those of the whole sound, whatever its length and its pieces."""

from pathlib import Path

import numpy as np
import pytest
import torch
from localisation.known_clap import PERIOD, RATE, WINDOW, KnownClap, sound

from clapgen import Clap
from clapgen.localisation.frames import TowerFrames, WindowFrames, frame_embedder
from clapgen.localisation.silence import SilentFrames
from clapgen.testing import tiny_model

LENGTHS = (1, 100, PERIOD - 1, PERIOD, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW + 123)


@pytest.fixture(scope="module")
def clap(tmp_path_factory: pytest.TempPathFactory) -> Clap:
    return Clap.from_pretrained(tiny_model(tmp_path_factory.mktemp("models") / "tiny"))


def frames_of(embedder: TowerFrames | WindowFrames, waveform: np.ndarray, size: int) -> torch.Tensor:
    pieces = [waveform[at : at + size] for at in range(0, len(waveform), size)]
    return torch.cat(list(embedder.stream(pieces)))


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kind", [TowerFrames, WindowFrames])
def test_the_number_of_frames_follows_from_the_length(clap: Clap, kind: type, length: int) -> None:
    embedder = kind(clap)
    noise = np.random.default_rng(0).uniform(-1, 1, length).astype(np.float32)
    frames = frames_of(embedder, noise, 5000)
    assert frames.shape == (int(length / RATE * embedder.rate + 1e-9) + 1, clap.dim)
    torch.testing.assert_close(frames.norm(dim=1), torch.ones(len(frames)))


@pytest.mark.parametrize("kind", [TowerFrames, WindowFrames])
def test_the_pieces_do_not_matter(clap: Clap, kind: type) -> None:
    noise = np.random.default_rng(1).uniform(-1, 1, 37_003).astype(np.float32)
    whole = frames_of(kind(clap), noise, len(noise))
    for size in (700, 8000, 12_345):
        torch.testing.assert_close(frames_of(kind(clap), noise, size), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("length", LENGTHS)
def test_every_frame_is_about_its_own_moment(length: int) -> None:
    """The embeddings of overlapping windows agree, so joining them must not move anything."""
    waveform = sound(10, (0, 0.0, 0.7), (1, 0.7, 2.2), (2, 2.6, 4.0))[:length]
    joined = frames_of(TowerFrames(KnownClap()), waveform, 999)
    alone = KnownClap().embed_frames(waveform, RATE)
    if length < WINDOW:  # repeated to fill the window: what follows the end is not the same
        joined, alone = joined[:-1], alone[:-1]
    torch.testing.assert_close(joined, alone)


def test_a_frame_in_the_middle_of_a_window_counts_most(clap: Clap) -> None:
    class Numbered(KnownClap):
        """Says with each frame how many samples of its window lie before it."""

        def embed_frames(self, waveform: np.ndarray, sample_rate: int) -> torch.Tensor:
            count = len(waveform) // PERIOD + 1
            angle = torch.arange(count) / 20
            return torch.stack([angle.cos(), angle.sin(), 0 * angle, 0 * angle], dim=1)

    frames = frames_of(TowerFrames(Numbered()), np.zeros(5 * WINDOW, dtype=np.float32), 4000)
    angle = torch.atan2(frames[:, 1], frames[:, 0]) * 20  # the mean place in the windows that a frame lies in
    assert angle[10:-10].min() > 2 and angle[10:-10].max() < 8  # never the edges, 0 and 10


def test_a_model_without_frames_gets_short_windows(clap: Clap) -> None:
    class Public:
        sample_rate, dim = RATE, 4
        embed_windows = KnownClap.embed_windows

    embedder = frame_embedder(Public())
    assert isinstance(embedder, WindowFrames)
    assert isinstance(frame_embedder(clap), TowerFrames)
    frames = frames_of(WindowFrames(Public(), 0.2, 10), sound(3, (1, 1.0, 2.0)), 1000)
    assert frames[12:19].argmax(1).eq(1).all() and frames[:9].argmax(1).eq(3).all()


def test_silent_frames_are_those_without_a_swing() -> None:
    waveform = 0.3 + sound(3, (0, 1.05, 2.0))
    for size in (100, 800, 24_000):
        silence = SilentFrames(RATE, 10.0)
        for at in range(0, len(waveform), size):
            list(silence.watch([waveform[at : at + size]]))
        expected = [not 11 <= frame <= 20 for frame in range(31)]
        assert silence.take(31).tolist() == expected


def test_the_frame_rate_of_a_model_is_its_towers(clap: Clap, tmp_path: Path) -> None:
    assert TowerFrames(clap).rate == clap.audio_tower.frame_rate
    assert TowerFrames(clap).delay < 1 / TowerFrames(clap).rate
    assert TowerFrames(KnownClap()).delay == 0
