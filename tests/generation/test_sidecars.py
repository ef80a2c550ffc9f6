"""Sound and sidecar as a pair: with concurrent writers, and after a process was killed at any point."""

import json
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from command_line import names

from clapgen.errors import ClapgenError
from generation.destinations import Destination
from generation.requests import GenerationRequest
from generation.sidecars import find_finished, save_clip, sha256_of, stem_of

SIDECAR = {"prompt": "rain", "model": {"hashes": {}}}


def save(folder: Path, content: bytes = b"sound", prompt: str = "rain") -> Path:
    destination = Destination(folder, None, "wav")
    sidecar = {**SIDECAR, "prompt": prompt}
    return save_clip(destination, "rain", sidecar, content)[0]


def test_many_writers_of_one_clip_write_it_once(tmp_path: Path) -> None:
    barrier = threading.Barrier(6)

    def writer(folder: Path) -> str:
        barrier.wait()
        return save(folder).name

    with ThreadPoolExecutor(6) as pool:
        for number in range(40):
            folder = tmp_path / str(number)
            assert set(pool.map(writer, [folder] * 6)) == {"rain.wav"}
            assert names(folder) == ["rain.json", "rain.wav"]


def test_many_writers_of_different_clips_keep_them_all(tmp_path: Path) -> None:
    barrier = threading.Barrier(6)

    def writer(number: int) -> Path:
        barrier.wait()
        return save(tmp_path, f"sound {number}".encode(), f"rain {number}")

    with ThreadPoolExecutor(6) as pool:
        paths = list(pool.map(writer, range(6)))
    assert len(set(paths)) == 6
    for number, path in enumerate(paths):
        sidecar = json.loads(path.with_suffix(".json").read_text())
        assert path.read_bytes() == f"sound {number}".encode()
        assert (sidecar["prompt"], sidecar["sha256"]) == (f"rain {number}", sha256_of(path))


def test_only_one_of_several_writers_gets_the_same_file(tmp_path: Path) -> None:
    barrier = threading.Barrier(6)

    def writer(number: int) -> str:
        destination = Destination(tmp_path, tmp_path / "one.wav", "wav")
        barrier.wait()
        try:
            save_clip(destination, "", SIDECAR, f"sound {number}".encode())
        except ClapgenError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(6) as pool:
        answers = sorted(pool.map(writer, range(6)))
    assert answers[0] == ""
    assert all("already exists" in answer for answer in answers[1:])
    assert names(tmp_path) == ["one.json", "one.wav"]
    assert json.loads((tmp_path / "one.json").read_text())["sha256"] == sha256_of(tmp_path / "one.wav")


def test_a_missing_sound_of_a_sidecar_is_written(tmp_path: Path) -> None:
    save(tmp_path).unlink()
    assert find_finished(tmp_path, "rain", SIDECAR) is None
    assert save(tmp_path).name == "rain.wav"
    finished = find_finished(tmp_path, "rain", SIDECAR)
    assert finished is not None and finished[0] == tmp_path / "rain.wav"
    (tmp_path / "rain.wav").unlink()
    assert save(tmp_path, b"the result of another version of torch").name == "rain-2.wav"


def test_a_sound_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(ClapgenError, match="cannot write"):
            save(tmp_path, bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(tmp_path) == []


def test_names_fit_every_file_system() -> None:
    for prompt in ("a " * 500, "雨" * 500, "\U00010330" * 500):
        name = stem_of(GenerationRequest(prompt, seed=2**63 - 1)) + "-99999.flac"
        assert len(name.encode()) < 255
