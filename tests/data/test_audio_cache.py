"""The audio cache returns what is on disk, decodes each file once, and survives damage."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clapgen.audio import read_audio
from clapgen.data import audio_cache as data
from clapgen.data.audio_cache import AudioCache
from clapgen.data.manifest import Clip
from clapgen.errors import ClapgenError

RATE = 8000


def write_tone(path: Path, seconds: float = 0.25, frequency: float = 440.0, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(seconds * rate)) / rate
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * frequency * time), rate)
    return path


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    return [Clip(write_tone(tmp_path / f"{n}.wav", 0.1 + 0.05 * n, 200.0 * (n + 1))) for n in range(5)]


def test_cached_waveforms_equal_decoding_the_file(tmp_path: Path, clips: list[Clip]) -> None:
    cache = AudioCache.build(clips, 6000, tmp_path / "cache", progress=False)
    assert len(cache) == len(clips)
    for index, clip in enumerate(clips):
        expected, _ = read_audio(clip.path, 6000)
        assert cache.clips[index] is clip
        assert cache.lengths[index] == len(expected)
        assert cache.waveform(index).dtype == np.float32
        np.testing.assert_allclose(cache.waveform(index), expected, atol=1 / 32767)


def test_crops_are_parts_of_the_clip_and_never_reach_into_the_next(tmp_path: Path, clips: list[Clip]) -> None:
    cache = AudioCache.build(clips, RATE, tmp_path / "cache", progress=False)
    whole = cache.waveform(1)
    np.testing.assert_array_equal(cache.crop(1, 100, 300), whole[100:400])
    np.testing.assert_array_equal(cache.crop(1, len(whole) - 10, 300), whole[-10:])
    assert cache.crop(1, len(whole) + 5, 3).shape == (0,)
    with pytest.raises(ValueError, match="-1"):
        cache.crop(1, -1, 10)


def test_a_second_build_and_any_subset_decode_nothing(
    tmp_path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = AudioCache.build(clips, RATE, tmp_path / "cache", progress=False)

    def no_decoding(*arguments: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(data, "read_audio", no_decoding)
    subset = AudioCache.build([clips[3], clips[0]], RATE, tmp_path / "cache", progress=False)
    np.testing.assert_array_equal(subset.waveform(0), first.waveform(3))
    np.testing.assert_array_equal(subset.waveform(1), first.waveform(0))


def test_a_changed_file_or_another_rate_is_decoded_again(tmp_path: Path, clips: list[Clip]) -> None:
    AudioCache.build(clips, RATE, tmp_path / "cache", progress=False)
    write_tone(clips[2].path, 0.4)
    assert AudioCache.build(clips, RATE, tmp_path / "cache", progress=False).lengths[2] == int(0.4 * RATE)
    assert AudioCache.build(clips, RATE // 2, tmp_path / "cache", progress=False).lengths[2] == int(0.4 * RATE) // 2


def test_broken_clips_are_named_counted_and_left_out(
    tmp_path: Path, clips: list[Clip], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "text.wav").write_text("this is not audio")
    with_broken = [clips[0], Clip(tmp_path / "text.wav"), Clip(tmp_path / "gone.wav"), clips[1]]
    for _ in range(2):  # the second build knows them from the index
        caplog.clear()
        cache = AudioCache.build(with_broken, RATE, tmp_path / "cache", progress=False)
        assert cache.clips == [clips[0], clips[1]]
        assert set(cache.skipped) == {tmp_path / "text.wav", tmp_path / "gone.wav"}
        assert "text.wav" in caplog.text
        assert "2 of 4 clips" in caplog.text
        with pytest.raises(ClapgenError, match=r"text\.wav"):
            AudioCache.build(with_broken, RATE, tmp_path / "cache", progress=False, strict=True)
    with pytest.raises(ClapgenError, match=r"text\.wav"):
        AudioCache.build(with_broken, RATE, tmp_path / "other", progress=False, strict=True)
    assert not list((tmp_path / "other").iterdir())
    with pytest.raises(ClapgenError, match=r"gone\.wav"):
        AudioCache.build([Clip(tmp_path / "gone.wav")], RATE, tmp_path / "cache", progress=False)


def test_an_interrupted_build_keeps_its_finished_packs_and_leaves_no_debris(
    tmp_path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "CLIPS_PER_PACK", 2)
    decoded: list[Path] = []

    def read_until_interrupted(path: Path, rate: int) -> tuple[np.ndarray, int]:
        if path == clips[3].path and interrupting:
            raise KeyboardInterrupt
        decoded.append(path)
        return read_audio(path, rate)

    monkeypatch.setattr(data, "read_audio", read_until_interrupted)
    interrupting = True
    with pytest.raises(KeyboardInterrupt):
        AudioCache.build(clips, RATE, tmp_path / "cache", workers=1, progress=False)
    assert len(os.listdir(tmp_path / "cache")) == 1
    decoded.clear()
    interrupting = False
    cache = AudioCache.build(clips, RATE, tmp_path / "cache", workers=1, progress=False)
    assert decoded == [clip.path for clip in clips[2:]]
    np.testing.assert_allclose(cache.waveform(4), read_audio(clips[4].path)[0], atol=1 / 32767)


def test_a_truncated_pack_is_named(tmp_path: Path, clips: list[Clip]) -> None:
    AudioCache.build(clips, RATE, tmp_path / "cache", progress=False)
    (samples,) = (tmp_path / "cache").glob("*/samples.int16")
    os.truncate(samples, 100)
    with pytest.raises(ClapgenError, match=samples.parent.name):
        AudioCache.build(clips, RATE, tmp_path / "cache", progress=False)


def test_a_cache_folder_that_cannot_be_made_is_named(tmp_path: Path, clips: list[Clip]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ClapgenError, match="file/cache"):
        AudioCache.build(clips, RATE, tmp_path / "file" / "cache", progress=False)
