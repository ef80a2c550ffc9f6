"""The audio cache returns what is on disk, decodes each file once, and survives damage."""

import functools
import os
import time
from concurrent.futures import ThreadPoolExecutor
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
    for _ in range(2):  # the second build knows the first of them from the index
        caplog.clear()
        cache = AudioCache.build(with_broken, RATE, tmp_path / "cache", progress=False)
        assert cache.clips == [clips[0], clips[1]]
        assert set(cache.skipped) == {tmp_path / "text.wav", tmp_path / "gone.wav"}
        assert "text.wav" in caplog.text
        assert "2 of 4 clips" in caplog.text
        with pytest.raises(ClapgenError, match=r"(text|gone)\.wav"):
            AudioCache.build(with_broken, RATE, tmp_path / "cache", progress=False, strict=True)
    with pytest.raises(ClapgenError, match=r"text\.wav"):
        AudioCache.build(with_broken, RATE, tmp_path / "other", progress=False, strict=True)
    assert [path.name for path in (tmp_path / "other").iterdir()] == [".lock"]
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
    assert len(list((tmp_path / "cache").glob("pack-*"))) == len(list((tmp_path / "cache").glob("[!.]*"))) == 1
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


def test_a_fault_that_passes_is_not_remembered(
    tmp_path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = {clips[1].path: "permission denied", clips[3].path: "System error"}  # of the file; of a network disk

    def read_with_faults(path: Path, rate: int) -> tuple[np.ndarray, int]:
        if path in faults:
            raise ClapgenError(f"{path} cannot be read: {faults[path]}")
        return read_audio(path, rate)

    readable = data._is_readable
    monkeypatch.setattr(data, "read_audio", read_with_faults)
    monkeypatch.setattr(data, "_is_readable", lambda path: path not in faults and readable(path))
    cache = AudioCache.build(clips, RATE, tmp_path / "cache", progress=False)
    assert set(cache.skipped) == set(faults)
    faults.clear()
    cache = AudioCache.build(clips, RATE, tmp_path / "cache", progress=False)
    assert not cache.skipped and cache.clips == clips


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_be_read_later_is_decoded_then(tmp_path: Path, clips: list[Clip]) -> None:
    clips[0].path.chmod(0)
    assert list(AudioCache.build(clips, RATE, tmp_path / "cache", progress=False).skipped) == [clips[0].path]
    clips[0].path.chmod(0o644)
    assert not AudioCache.build(clips, RATE, tmp_path / "cache", progress=False).skipped


def test_a_fault_that_passes_at_once_costs_no_clip(
    tmp_path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: set[Path] = set()

    def read_at_second_try(path: Path, rate: int) -> tuple[np.ndarray, int]:
        if path not in failed:
            failed.add(path)
            raise ClapgenError(f"{path} cannot be read: System error")
        return read_audio(path, rate)

    monkeypatch.setattr(data, "read_audio", read_at_second_try)
    assert not AudioCache.build(clips, RATE, tmp_path / "cache", progress=False).skipped


def test_a_verdict_of_another_version_is_checked_again(
    tmp_path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(path: Path, rate: int) -> tuple[np.ndarray, int]:
        raise ClapgenError(f"{path} is not supported")

    with monkeypatch.context() as older:
        older.setattr(data, "__version__", "0.0.1")
        older.setattr(data, "read_audio", lambda p, r: cannot(p, r) if p == clips[0].path else read_audio(p, r))
        assert AudioCache.build(clips, RATE, tmp_path / "cache", progress=False).skipped
    assert not AudioCache.build(clips, RATE, tmp_path / "cache", progress=False).skipped


def test_a_build_removes_what_a_killed_one_left(tmp_path: Path, clips: list[Clip]) -> None:
    debris = tmp_path / "cache" / ".building-0123456789abcdef"
    debris.mkdir(parents=True)
    (debris / "samples.int16").write_bytes(bytes(100))
    AudioCache.build(clips, RATE, tmp_path / "cache", progress=False)
    assert not debris.exists()


def test_a_second_process_waits_and_decodes_nothing(
    tmp_path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    decoded: list[Path] = []

    def slowly(path: Path, rate: int) -> tuple[np.ndarray, int]:
        decoded.append(path)
        time.sleep(0.05)
        return read_audio(path, rate)

    monkeypatch.setattr(data, "read_audio", slowly)
    with ThreadPoolExecutor(3) as pool:  # locks of one process exclude each other, as those of several do
        build = functools.partial(AudioCache.build, clips, RATE, tmp_path / "cache", progress=False)
        caches = [job.result() for job in [pool.submit(build) for _ in range(3)]]
    assert sorted(decoded) == sorted(clip.path for clip in clips)
    assert all(len(cache) == len(clips) for cache in caches)
    assert "waiting for process" in caplog.text


def test_a_read_only_cache_that_holds_all_clips_is_read(
    tmp_path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    AudioCache.build(clips, RATE, tmp_path / "cache", progress=False)

    def refuse(*arguments: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "open", refuse)
    assert len(AudioCache.build(clips, RATE, tmp_path / "cache", progress=False)) == len(clips)
    with pytest.raises(ClapgenError, match=r"cannot write the cache folder .*Read-only file system"):
        AudioCache.build(clips, RATE // 2, tmp_path / "cache", progress=False)
