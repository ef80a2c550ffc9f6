"""The cache never changes an embedding, with damaged files, changed entries and other processes."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from clapgen.audio import read_audio
from clapgen.clap import Clap
from clapgen.embedders import cache as embedding_cache
from clapgen.embedders import store as cache_folder
from clapgen.embedders.cache import EmbeddingCache, default_cache_folder, embed_files
from clapgen.embedders.file_identity import identify_files
from clapgen.errors import ClapgenError
from clapgen.testing import SAMPLE_RATE, tiny_model


@pytest.fixture(scope="module")
def clap(tmp_path_factory: pytest.TempPathFactory) -> Clap:
    return Clap.from_pretrained(tiny_model(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def sounds(tmp_path: Path) -> list[Path]:
    """Noise of several lengths, changed long ago."""
    rng = np.random.default_rng(0)
    paths = []
    for index, seconds in enumerate((0.3, 1.0, 2.2, 0.7)):
        path = tmp_path / "sounds" / f"{index}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, 0.1 * rng.standard_normal(round(seconds * SAMPLE_RATE)), SAMPLE_RATE)
        age(path)
        paths.append(path)
    return paths


@pytest.fixture
def cache(tmp_path: Path) -> EmbeddingCache:
    return EmbeddingCache(tmp_path / "cache")


def age(path: Path, seconds: float = 3600) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are decoded from now on."""
    names: list[str] = []

    def watch(path: Path, *arguments: object) -> tuple[np.ndarray, int]:
        names.append(Path(path).name)
        return read_audio(path, *arguments)

    monkeypatch.setattr(embedding_cache, "read_audio", watch)
    return names


def test_embeddings_are_those_of_the_model_with_and_without_a_cache(
    clap: Clap, sounds: list[Path], cache: EmbeddingCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [clap.embed_audio([read_audio(path)[0]], SAMPLE_RATE)[0].numpy() for path in sounds]
    plain = embed_files(sounds, clap)
    first = embed_files(sounds, clap, cache)
    names = decoded(monkeypatch)
    second = embed_files(list(reversed(sounds)), clap, cache)
    assert names == []
    np.testing.assert_allclose(plain.embeddings, expected, atol=1e-6)
    np.testing.assert_array_equal(first.embeddings, plain.embeddings)
    np.testing.assert_array_equal(second.embeddings[::-1], first.embeddings)
    assert second.paths == list(reversed(sounds))
    assert (first.embeddings.dtype, first.skipped) == (np.float32, [])


def test_content_is_the_key_not_the_name(
    clap: Clap, sounds: list[Path], cache: EmbeddingCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = embed_files(sounds, clap, cache)
    moved = shutil.copy(sounds[0], sounds[0].with_name("copy.wav"))
    shutil.copy(sounds[2], sounds[1])  # other content under a known name
    age(sounds[1], 1800)
    names = decoded(monkeypatch)
    again = embed_files([moved, sounds[1]], clap, cache)
    assert names == []
    np.testing.assert_array_equal(again.embeddings, first.embeddings[[0, 2]])


def test_a_change_that_leaves_size_and_time_alone_is_seen_while_the_file_is_fresh(
    clap: Clap, sounds: list[Path], cache: EmbeddingCache
) -> None:
    os.utime(sounds[1])
    status = sounds[1].stat()
    before = embed_files(sounds[1:2], clap, cache).embeddings
    samples = soundfile.read(sounds[1])[0]
    soundfile.write(sounds[1], samples[::-1], SAMPLE_RATE)
    os.utime(sounds[1], ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not np.array_equal(embed_files(sounds[1:2], clap, cache).embeddings, before)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no time of change that cannot be set")
def test_a_change_whose_time_was_set_back_is_seen(clap: Clap, sounds: list[Path], cache: EmbeddingCache) -> None:
    status = sounds[1].stat()
    assert status.st_mtime < time.time() - 60
    before = embed_files(sounds[1:2], clap, cache).embeddings
    content = sounds[1].read_bytes()
    sounds[1].write_bytes(content[:44] + content[44:][::-1])
    os.utime(sounds[1], ns=(status.st_atime_ns, status.st_mtime_ns))
    assert sounds[1].stat().st_size == status.st_size
    assert not np.array_equal(embed_files(sounds[1:2], clap, cache).embeddings, before)


def test_each_model_and_each_band_limit_has_its_own_entries(
    clap: Clap, sounds: list[Path], cache: EmbeddingCache, tmp_path: Path
) -> None:
    other = Clap.from_pretrained(tiny_model(tmp_path / "other", seed=1))
    runs = [
        embed_files(sounds, model, place, band_limit=limit).embeddings
        for place in (cache, cache, None)
        for model, limit in ((clap, None), (other, None), (clap, 4000))
    ]
    for index in range(3):
        np.testing.assert_array_equal(runs[index], runs[index + 3])
        np.testing.assert_array_equal(runs[index], runs[index + 6])
    assert not np.allclose(runs[0], runs[1])
    assert not np.allclose(runs[0], runs[2])


def test_a_config_that_changes_the_spectrogram_changes_the_key(
    clap: Clap, sounds: list[Path], cache: EmbeddingCache, tmp_path: Path
) -> None:
    embed_files(sounds, clap, cache)
    folder = tiny_model(tmp_path / "same-weights")
    finer = Clap.from_pretrained(folder)
    finer.config.audio.hop_length = 80
    rebuilt = Clap(finer.config, finer.tokenizer).eval()
    rebuilt.load_state_dict(finer.state_dict())
    rebuilt.name, rebuilt.hash = finer.name, finer.hash
    np.testing.assert_array_equal(
        embed_files(sounds, rebuilt, cache).embeddings, embed_files(sounds, rebuilt).embeddings
    )


def test_autocast_around_it_changes_nothing(clap: Clap, sounds: list[Path]) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = embed_files(sounds, clap).embeddings
    np.testing.assert_array_equal(inside, embed_files(sounds, clap).embeddings)


def test_broken_files_are_left_out_and_named(clap: Clap, sounds: list[Path], cache: EmbeddingCache) -> None:
    sounds[1].write_text("not a sound")
    whole = sounds[2].read_bytes()
    sounds[2].write_bytes(whole[: len(whole) // 2])
    counted: list[int] = []
    missing = sounds[0].with_name("missing.wav")
    result = embed_files([*sounds, missing, sounds[0]], clap, cache, advance=counted.append)
    assert result.paths == [sounds[0], sounds[3], sounds[0]]
    assert sum(counted) == 6
    assert {path for path, _ in result.skipped} == {sounds[1], sounds[2], missing}
    assert all(str(path) in reason for path, reason in result.skipped)
    for bad in (sounds[1], sounds[2], missing):
        with pytest.raises(ClapgenError, match=bad.name):
            embed_files([sounds[0], bad], clap, cache, strict=True)
    with pytest.raises(ClapgenError, match="no file could be read"):
        embed_files(sounds[1:3], clap, cache)


def test_a_broken_model_is_refused_by_name_and_nothing_is_cached(
    sounds: list[Path], cache: EmbeddingCache, tmp_path: Path
) -> None:
    broken = Clap.from_pretrained(tiny_model(tmp_path / "broken"))
    next(iter(broken.audio_projection.parameters())).data.fill_(torch.nan)
    for _ in range(2):
        with pytest.raises(ClapgenError, match=r"broken.*NaN"):
            embed_files(sounds, broken, cache)


def test_an_unsaved_model_is_not_cached(clap: Clap, sounds: list[Path], cache: EmbeddingCache) -> None:
    unsaved = Clap(clap.config, clap.tokenizer).eval()
    embed_files(sounds, unsaved, cache)
    with torch.no_grad():
        unsaved.audio_projection[0].weight.mul_(-1)
    np.testing.assert_array_equal(
        embed_files(sounds, unsaved, cache).embeddings, embed_files(sounds, unsaved).embeddings
    )


@pytest.mark.parametrize("damage", ["flip", "truncate", "text", "middle"])
def test_damaged_entries_are_recomputed(clap: Clap, sounds: list[Path], cache: EmbeddingCache, damage: str) -> None:
    expected = embed_files(sounds, clap, cache).embeddings
    content = bytearray(cache.file.read_bytes())
    if damage == "flip":  # in an entry's own bytes: SQLite does not notice
        position = content.find(expected[2].astype("<f4").tobytes())
        assert position > 0
        content[position + 3] ^= 0xFF
    elif damage == "truncate":
        content = content[: len(content) // 2]
    elif damage == "text":
        content = bytearray(b"this is no database" * 100)
    else:
        content[4096:8192] = bytes(4096)
    cache.file.write_bytes(content)
    for _ in range(2):
        found = embed_files(sounds, clap, cache).embeddings  # recomputed in another batch
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert cache.info().entries == 8  # an embedding and an identity a file


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(
    clap: Clap, sounds: list[Path], cache: EmbeddingCache
) -> None:
    expected = embed_files(sounds, clap, cache).embeddings
    cache.file.unlink()
    cache.file.mkdir()  # whoever the user is, no database can be opened there
    np.testing.assert_array_equal(embed_files(sounds, clap, cache).embeddings, expected)
    (cache.folder / "file").touch()
    with pytest.raises(ClapgenError, match="cache folder"):
        EmbeddingCache(cache.folder / "file" / "below")


def test_a_stuck_lock_is_waited_for_once(
    clap: Clap,
    sounds: list[Path],
    cache: EmbeddingCache,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(cache_folder, "LOCK_SECONDS", 0.05)
    cache.put({b"key": b"value"})
    with contextlib.closing(sqlite3.connect(cache.file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert len(embed_files(sounds, clap, cache).paths) == len(sounds)
    assert len([record for record in caplog.records if "locked" in record.message]) == 1
    assert cache.get([b"key"]) == {}
    assert EmbeddingCache(cache.folder).get([b"key"]) == {b"key": b"value"}


def test_the_least_recently_used_entries_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1e9
    monkeypatch.setattr("clapgen.embedders.store.time.time", lambda: now)
    cache = EmbeddingCache(tmp_path, limit_bytes=400_000)
    keys = [bytes([index]) * 32 for index in range(100)]
    for key in keys:
        now += 1
        cache.put({key: key * 320})  # 10 kB
        cache.get([keys[0]])  # used all the time
        assert cache.info().bytes <= 400_000
    left = cache.get(keys)
    assert keys[0] in left
    assert keys[-1] in left
    assert 20 < len(left) < 40
    kept = [key in left for key in keys[1:]]
    assert kept == sorted(kept)  # the older went first
    now += 3 * 86_400
    cache.get(keys[-5:])
    assert cache.clear(older_than_days=2) == len(left) - 5
    assert cache.clear() == 5
    assert (cache.info().entries, cache.info().bytes < 100_000) == (0, True)


def test_two_processes_share_a_cache(clap: Clap, sounds: list[Path], cache: EmbeddingCache, tmp_path: Path) -> None:
    script = """
import sys
from clapgen.embedders.store import CacheFolder
cache, name = CacheFolder(sys.argv[1], 10**8), sys.argv[2].encode()
for index in range(60):
    cache.put({b"%d" % index: b"%d" % index * 50, name + b"%d" % index: name})
    assert cache.get([b"%d" % index])[b"%d" % index] == b"%d" % index * 50
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    commands = [[sys.executable, "-c", script, str(cache.folder), name] for name in ("a", "b")]
    running = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for command in commands]
    for process in running:
        assert process.communicate(timeout=60)[1] == ""
        assert process.returncode == 0
    assert cache.info().entries == 180


def loudness(waveform: np.ndarray, sample_rate: int) -> dict[str, float]:
    return {"peak": float(np.abs(waveform).max()), "rate": sample_rate}


def test_facts_of_inspect_are_cached_with_the_embedding(
    clap: Clap, sounds: list[Path], cache: EmbeddingCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed_files(sounds, clap, cache)
    first = embed_files(sounds, clap, cache, inspect=loudness)
    names = decoded(monkeypatch)
    second = embed_files(sounds, clap, cache, inspect=loudness)
    assert names == []
    assert first.facts == second.facts
    assert second.facts[1] == loudness(*read_audio(sounds[1]))


def test_frames_are_those_of_the_model_and_cost_no_second_decode(
    clap: Clap, sounds: list[Path], cache: EmbeddingCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = decoded(monkeypatch)
    embedding = embed_files(sounds[1:3], clap).embeddings
    names.clear()
    for _ in range(2):
        found = embed_files(sounds[1:3], clap, cache, frames=True, inspect=loudness)
        assert sorted(names) == ["1.wav", "2.wav"]
        assert found.paths == sounds[1:3]
        np.testing.assert_array_equal(found.embeddings, embedding)
        for path, table in zip(found.paths, found.frames, strict=True):
            expected = clap.embed_frames(read_audio(path)[0], SAMPLE_RATE).numpy()
            np.testing.assert_allclose(table, expected, atol=1e-6)


def test_only_what_is_not_cached_is_embedded(clap: Clap, sounds: list[Path], cache: EmbeddingCache) -> None:
    embedding = embed_files(sounds, clap, cache).embeddings
    frames = embed_files(sounds, clap, cache, frames=True)
    np.testing.assert_array_equal(frames.embeddings, embedding)
    assert len(frames.frames) == len(sounds)
    assert cache.info().entries == 3 * len(sounds)  # an identity, an embedding and frames per file


def test_an_identified_file_is_not_opened_again(sounds: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    files, _ = identify_files(sounds[:2])
    monkeypatch.setattr("clapgen.embedders.file_identity._identify", lambda path, state: f"{path} was opened")
    again, skipped = identify_files([*files, sounds[2]])
    assert again == files
    assert skipped == [(sounds[2], f"{sounds[2]} was opened")]


def test_files_are_known_by_their_content(sounds: list[Path], cache: EmbeddingCache) -> None:
    sounds[3].write_bytes(sounds[0].read_bytes())
    for place in (None, cache, cache):
        files, skipped = identify_files(sounds, place)
        assert skipped == []
        assert files[0].digest == files[3].digest != files[1].digest
        assert (files[2].sample_rate, files[2].seconds) == (SAMPLE_RATE, pytest.approx(2.2))


def test_the_folder_can_be_set_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLAPGEN_CACHE", str(tmp_path / "elsewhere"))
    assert default_cache_folder() == tmp_path / "elsewhere"
    assert EmbeddingCache().file.parent == tmp_path / "elsewhere"
    monkeypatch.delenv("CLAPGEN_CACHE")
    assert default_cache_folder().name in ("clapgen", "Cache")


def test_a_cache_that_may_only_be_read_is_read(
    clap: Clap, sounds: list[Path], cache: EmbeddingCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = embed_files(sounds[:3], clap, cache).embeddings
    content = cache.file.read_bytes()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))  # also for root
    names = decoded(monkeypatch)
    found = embed_files(sounds, clap, EmbeddingCache(cache.folder))
    assert names == ["3.wav"]
    np.testing.assert_array_equal(found.embeddings[:3], expected)
    assert cache.file.read_bytes() == content
    assert sorted(path.name for path in cache.folder.iterdir()) == [cache.file.name]
    assert cache.info().entries == 6
    with pytest.raises(ClapgenError, match="cannot be changed"):
        cache.clear()


def test_a_file_replaced_between_hashing_and_decoding_is_not_embedded_as_the_old_one(
    clap: Clap, sounds: list[Path], cache: EmbeddingCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = sounds[0].read_bytes(), sounds[2].read_bytes()
    expected = embed_files(sounds[:1], clap).embeddings

    def replace(path: Path, *arguments: object) -> tuple[np.ndarray, int]:
        if path == sounds[0]:
            other = path.with_name("new.part")
            other.write_bytes(new)
            age(other)
            other.replace(path)
        return read_audio(path, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(embedding_cache, "read_audio", replace)
        found = embed_files(sounds[:2], clap, cache)
    assert found.paths == [sounds[1]]
    assert [(path, "changed while it was being read" in reason) for path, reason in found.skipped] == [
        (sounds[0], True)
    ]
    sounds[0].write_bytes(old)
    age(sounds[0])
    np.testing.assert_allclose(embed_files(sounds[:1], clap, cache).embeddings, expected, atol=1e-6)


def test_a_file_whose_times_change_but_whose_content_does_not_is_the_same_file(sounds: list[Path]) -> None:
    [file], _ = identify_files(sounds[:1])
    age(sounds[0], seconds=10)
    file.check_unchanged()
    sounds[0].write_bytes(sounds[1].read_bytes())
    with pytest.raises(ClapgenError, match="changed while it was being read"):
        file.check_unchanged()
    sounds[0].unlink()
    with pytest.raises(ClapgenError, match="changed while it was being read"):
        file.check_unchanged()


def test_a_value_under_another_key_is_not_taken_for_that_keys_own(cache: EmbeddingCache) -> None:
    cache.put({b"one": b"value of one", b"two": b"value of two"})
    with contextlib.closing(sqlite3.connect(cache.file, isolation_level=None)) as database:
        other = "(SELECT value FROM entries WHERE key = ?)"
        database.execute(f"UPDATE entries SET value = {other} WHERE key = ?", [b"one", b"two"])
    assert cache.get([b"one", b"two"]) == {b"one": b"value of one"}


def test_a_file_changed_a_moment_ago_is_hashed_again_next_time(sounds: list[Path], cache: EmbeddingCache) -> None:
    os.utime(sounds[0])
    identify_files(sounds[:1], cache)
    assert cache.info().entries == 0
    age(sounds[0])
    identify_files(sounds[:1], cache)
    assert cache.info().entries == 1
