"""A file is written completely or not at all: on failures, races, full disks and missing permissions."""

import errno
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from clapgen.audio import write_audio
from clapgen.errors import ClapgenError, nearest
from clapgen.files import atomic_path, slug


def test_success_leaves_the_file_alone_in_its_folder(tmp_path):
    target = tmp_path / "new" / "folder" / "sound.wav"
    with atomic_path(target) as temporary:
        assert temporary.suffix == ".wav"
        assert temporary.parent == target.parent
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert os.listdir(target.parent) == ["sound.wav"]


@pytest.mark.parametrize("failure", [ValueError("no"), KeyboardInterrupt(), SystemExit(1)])
@pytest.mark.parametrize("overwrite", [False, True])
def test_failure_leaves_nothing_and_the_old_file_as_it_was(tmp_path, failure, overwrite):
    target = tmp_path / "sound.wav"
    if overwrite:
        target.write_text("old")
    with pytest.raises(type(failure)), atomic_path(target, overwrite=overwrite) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise failure
    assert os.listdir(tmp_path) == (["sound.wav"] if overwrite else [])
    assert not overwrite or target.read_text() == "old"


def test_existing_file(tmp_path):
    target = tmp_path / "sound.wav"
    target.write_text("old")
    with pytest.raises(ClapgenError, match=r"sound\.wav already exists"), atomic_path(target):
        pytest.fail("must refuse before the work is done")
    with atomic_path(target, overwrite=True) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"


def test_a_file_created_in_the_meantime_is_not_overwritten(tmp_path):
    target = tmp_path / "sound.wav"
    with pytest.raises(ClapgenError, match="already exists"), atomic_path(target) as temporary:  # noqa: PT012
        temporary.write_text("mine")
        target.write_text("theirs")
    assert target.read_text() == "theirs"
    assert os.listdir(tmp_path) == ["sound.wav"]


def test_it_is_not_overwritten_without_hard_links_either(tmp_path, monkeypatch):
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")  # as on FAT and some network shares

    monkeypatch.setattr(os, "link", no_links)
    with atomic_path(tmp_path / "a.wav") as temporary:
        temporary.write_text("mine")
    assert (tmp_path / "a.wav").read_text() == "mine"
    with pytest.raises(ClapgenError, match="already exists"), atomic_path(tmp_path / "b.wav"):
        (tmp_path / "b.wav").write_text("theirs")
    assert (tmp_path / "b.wav").read_text() == "theirs"
    assert sorted(os.listdir(tmp_path)) == ["a.wav", "b.wav"]


RACE = """
import sys, time
from clapgen.errors import ClapgenError
from clapgen.files import atomic_path
target, name, start = sys.argv[1:]
try:
    with atomic_path(target) as temporary:
        temporary.write_text(name)
        time.sleep(max(0, float(start) - time.time()))  # both start before either finishes
except ClapgenError as error:
    sys.exit("already exists" in str(error) and 2)
"""


@pytest.mark.slow
def test_two_processes_writing_one_name(tmp_path):
    start = str(time.time() + 1.0)
    target = tmp_path / "sound.wav"
    command = [sys.executable, "-c", RACE, str(target)]
    processes = {name: subprocess.Popen([*command, name, start]) for name in ("first", "second")}
    codes = {name: process.wait() for name, process in processes.items()}
    assert sorted(codes.values()) == [0, 2]
    assert codes[target.read_text()] == 0
    assert os.listdir(tmp_path) == ["sound.wav"]


def test_an_error_names_the_requested_file(tmp_path):
    target = tmp_path / "sound.wav"
    with pytest.raises(ClapgenError) as caught, atomic_path(target) as temporary:
        write_audio(temporary, np.array([np.nan]), 16000, overwrite=True)
    assert str(target) in str(caught.value)
    assert ".part" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_unwritable_folder():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        user = os.geteuid()
        try:
            if user == 0:
                os.seteuid(65534)  # root can write anywhere, so act as nobody
            with pytest.raises(ClapgenError, match=r"sound\.wav: permission denied"):
                write_audio(Path(folder) / "sound.wav", np.zeros(10), 16000)
        finally:
            os.seteuid(user)
        assert os.listdir(folder) == []


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ClapgenError, match=r"sound\.wav: part of its path is a file"):
        write_audio(tmp_path / "file" / "sound.wav", np.zeros(10), 16000)
    with pytest.raises(ClapgenError, match="is a folder"), atomic_path(tmp_path, overwrite=True):
        pass


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB, if mounting one is permitted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting is not permitted here; the test of the file size limit covers this")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_disk_full_in_the_middle_of_a_write(small_disk, suffix):
    noise = np.random.default_rng(0).uniform(-0.9, 0.9, 320000)
    (small_disk / f"old{suffix}").write_text("old")
    with pytest.raises(ClapgenError, match=rf"old\{suffix}: the disk is full"):
        write_audio(small_disk / f"old{suffix}", noise, 32000, overwrite=True)
    assert os.listdir(small_disk) == [f"old{suffix}"]
    assert (small_disk / f"old{suffix}").read_text() == "old"


def test_file_size_limit_in_the_middle_of_a_write(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
        with pytest.raises(ClapgenError, match=r"sound\.wav: the file would be larger"):
            write_audio(tmp_path / "sound.wav", np.zeros(320000), 32000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Rain on a tin roof", "rain-on-a-tin-roof"),
        ("../../etc/passwd", "etc-passwd"),
        ("a\nb\x00c\td", "a-b-c-d"),
        ("🎵🎶", "sound"),
        ("", "sound"),
        ("…", "sound"),
        ("Möwen über dem Meer", "möwen-über-dem-meer"),
        ("雨の音", "雨の音"),
        ("-rf _x_", "rf-x"),
    ],
)
def test_slug(text, name):
    assert slug(text) == name


@pytest.mark.parametrize("text", ["x" * 10_000, "rain and wind " * 700, "雨" * 500, "𐐷" * 500])
def test_slug_of_a_long_text_fits_a_file_name(tmp_path, text):
    assert 30 <= len(slug(text)) <= 60
    assert not slug(text).endswith("-")
    with atomic_path(tmp_path / f"{slug(text)}.json") as temporary:
        temporary.write_text("fits")


def test_nearest():
    assert nearest("defualt", ["default", "tiny"]) == " Did you mean 'default'?"
    assert nearest("zebra", ["default", "tiny"]) == ""
