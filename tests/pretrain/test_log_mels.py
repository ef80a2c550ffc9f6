"""The cache of log-mels holds what the front end computes, and its crops stand for those of waveforms."""

from pathlib import Path

import pytest
import soundfile
import torch

from clapgen.audio.mel import LogMel
from clapgen.audio.windows import repeat_pad
from clapgen.data.audio_cache import AudioCache
from clapgen.data.manifest import Clip
from clapgen.scenes import Event, Scene
from clapgen.testing import CLAP
from pretrain.data.log_mels import LogMels
from pretrain.data.sounds import AugmentConfig, Sounds

RATE = CLAP.audio.sample_rate
LENGTHS = (30, 1000, 20_000)


@pytest.fixture
def front_end() -> LogMel:
    audio = CLAP.audio
    return LogMel(RATE, audio.n_fft, audio.hop_length, audio.n_mels, audio.f_min, audio.f_max)


@pytest.fixture
def cache(tmp_path: Path) -> AudioCache:
    clips = []
    for number, samples in enumerate(LENGTHS):
        clips.append(Clip(tmp_path / f"{number}.wav"))
        noise = 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(number))
        soundfile.write(clips[-1].path, noise.numpy(), RATE, subtype="FLOAT")
    return AudioCache.build(clips, RATE, tmp_path / "cache", progress=False)


def test_it_holds_the_log_mels_of_the_clips_and_is_built_once(cache, front_end, tmp_path):
    mels = LogMels.build(cache, front_end, tmp_path)
    expected = front_end(torch.from_numpy(cache.waveform(2))[None])[0]
    assert torch.allclose(mels.frames(2), expected, atol=0.05)
    assert torch.equal(mels.frames(2, 5, 3), mels.frames(2)[:, 5:8]) and mels.frames(1, 10**6).shape[1] == 0
    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("log-mels-*")}
    again = LogMels.build(cache, front_end, tmp_path)
    assert torch.equal(again.frames(0), mels.frames(0))
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.glob("log-mels-*")}
    other = LogMel(RATE, front_end.n_fft, front_end.hop_length * 2, front_end.n_mels, front_end.f_min, front_end.f_max)
    assert LogMels.build(cache, other, tmp_path).lengths[2] < mels.lengths[2]


def test_short_clips_are_repeated_as_often_as_they_fit(cache, front_end, tmp_path):
    mels, window = LogMels.build(cache, front_end, tmp_path), 8000
    expected = front_end(repeat_pad(torch.from_numpy(cache.waveform(1)), window)[None])[0]
    count = expected.shape[1]
    (crop,) = mels.crops([1], [count], mels.starts_of_crops([1], [count]))
    assert crop.shape == expected.shape
    loud = expected.mean(0) > -60
    assert abs(int((crop.mean(0) > -60).sum()) - int(loud.sum())) <= 8  # one frame for each repetition


def test_a_level_is_that_of_the_frames_that_sound(cache, front_end, tmp_path):
    mels = LogMels.build(cache, front_end, tmp_path)
    power = (10 ** (mels.frames(2) / 10)).sum(0)
    assert mels.levels[2] == pytest.approx(10 * float(power.mean().log10()), abs=0.1)


@pytest.fixture
def sounds(cache, front_end, tmp_path) -> Sounds:
    mels = LogMels.build(cache, front_end, tmp_path)
    return Sounds(mels, AugmentConfig(), 2 * RATE, front_end)


def test_events_of_a_scene_sound_when_and_as_loud_as_it_says(sounds):
    near = Event(2, "noise", 0.5, 0.5)
    scene = Scene(2.0, (near, Event(2, "noise", 1.25, 0.5, gain_db=-12.0)), "sequence", ("",))
    level = 10 * (10 ** (sounds.scene(scene) / 10)).sum(0).log10()
    heard = [t / sounds.rate for t in (level > sounds.level - 30).nonzero().flatten().tolist()]
    assert heard[0] == pytest.approx(0.5, abs=0.05) and heard[-1] == pytest.approx(1.75, abs=0.05)
    first, gap, second = (
        level[round(a * sounds.rate) : round(b * sounds.rate)].mean()
        for a, b in ((0.55, 0.95), (1.05, 1.2), (1.3, 1.7))
    )
    assert float(first - second) == pytest.approx(12.0, abs=1.0) and gap < -50


def test_distance_echoes_and_dulls(sounds):
    near, far = (sounds.scene(Scene(2.0, (Event(2, "n", 0.2, 0.4, distance=d),), "single", ("",))) for d in (0.0, 0.8))
    after = slice(round(0.7 * sounds.rate), round(0.9 * sounds.rate))
    assert far[:, after].mean() > near[:, after].mean() + 20
    during = slice(round(0.3 * sounds.rate), round(0.5 * sounds.rate))
    tilt = [float(x[-2:, during].mean() - x[:2, during].mean()) for x in (near, far)]
    assert tilt[1] < tilt[0] - 10
