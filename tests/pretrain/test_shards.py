"""Shards round-trip with the manifest, agree with the webdataset package, and cannot harm whoever unpacks them."""

import io
import json
import logging
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clapgen.data.manifest import Clip, read_manifest
from clapgen.errors import ClapgenError
from pretrain.data.shards import unpack_shards, write_shards


def audio_bytes(kind: str = "WAV") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.linspace(-0.5, 0.5, 800), 8000, format=kind)
    return buffer.getvalue()


def make_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    clips = []
    for number in range(5):
        path = tmp_path / "audio" / f"clip.{number}.wav"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(audio_bytes() + bytes(2 * number))
        extra = {"fold": number, "note": "Größe"}
        clips.append(Clip(path, [f"Caption {number}", "Ré"], ["dog"], f"rec:{number}", "CC0", "train", True, extra))
    return clips


def test_manifest_to_shards_and_back_keeps_every_word_and_byte(tmp_path: Path, clips: list[Clip]) -> None:
    shards, missing = write_shards(clips, tmp_path / "shards", clips_per_shard=2)
    assert [shard.name for shard in shards] == ["000000.tar", "000001.tar", "000002.tar"]
    assert missing == []
    sizes = json.loads((tmp_path / "shards" / "sizes.json").read_text())
    assert sizes == {"000000.tar": 2, "000001.tar": 2, "000002.tar": 1}
    manifest, count = unpack_shards(shards, tmp_path / "out")
    assert count == 5
    for before, after in zip(clips, read_manifest(manifest), strict=True):
        assert after.path.is_relative_to(tmp_path / "out")
        assert after.path.read_bytes() == before.path.read_bytes()
        assert Clip(before.path, after.captions, after.labels, *fields(after)) == before


def fields(clip: Clip) -> tuple[object, ...]:
    return clip.recording, clip.licence, clip.split, clip.free, clip.extra


def test_the_same_clips_make_the_same_shard(tmp_path: Path, clips: list[Clip]) -> None:
    (first,), _ = write_shards(clips, tmp_path / "a")
    (second,), _ = write_shards(clips, tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()


def test_the_webdataset_package_reads_our_shards(tmp_path: Path, clips: list[Clip]) -> None:
    webdataset = pytest.importorskip("webdataset")
    (shard,), _ = write_shards(clips, tmp_path / "shards")
    samples = list(webdataset.WebDataset(str(shard), shardshuffle=False))
    assert [sample["wav"] for sample in samples] == [clip.path.read_bytes() for clip in clips]
    assert [json.loads(sample["json"])["text"] for sample in samples] == [clip.captions for clip in clips]


def test_missing_files_are_left_out_and_named(tmp_path: Path, clips: list[Clip]) -> None:
    (shard,), missing = write_shards([clips[0], Clip(tmp_path / "gone.wav")], tmp_path / "shards")
    assert missing == [tmp_path / "gone.wav"]
    with tarfile.open(shard) as tar:
        assert tar.getnames() == ["000000000.wav", "000000000.json"]
    with pytest.raises(ClapgenError, match="none of the 1"):
        write_shards([Clip(tmp_path / "gone.wav")], tmp_path / "other")
    with pytest.raises(ClapgenError, match="exists"):
        write_shards(clips, tmp_path / "shards")


def test_laion_shards_are_read(tmp_path: Path) -> None:
    description = {"text": ["The sounds of Harp"], "tag": ["Harp", "Music"], "original_data": {"title": "Harp 3"}}
    members = {"a.b/1.flac": audio_bytes("FLAC"), "a.b/1.json": json.dumps(description).encode()}
    members |= {"2.json": b'{"caption": "Rain"}', "2.txt": b"It rains\n", "2.mono.OGG": audio_bytes("OGG")}
    manifest, _ = unpack_shards([make_tar(tmp_path / "s.tar", members, "w:gz")], tmp_path / "out")
    first, second = read_manifest(manifest)
    assert (first.captions, first.labels) == (["The sounds of Harp"], ["Harp", "Music"])
    assert first.extra == {"original_data": {"title": "Harp 3"}}
    assert first.path.suffix == ".flac"
    assert second.captions == ["Rain", "It rains"]
    assert soundfile.info(second.path).frames == 800


def test_shards_of_the_same_names_do_not_overwrite_one_another(tmp_path: Path) -> None:
    one = make_tar(tmp_path / "one.tar", {"1.wav": audio_bytes(), "1.txt": b"one"})
    two = make_tar(tmp_path / "two.tar", {"1.wav": audio_bytes(), "1.txt": b"two"})
    manifest, _ = unpack_shards([one, two], tmp_path / "out")
    first, second = read_manifest(manifest)
    assert (first.captions, second.captions) == (["one"], ["two"])
    assert first.path != second.path


def test_samples_without_audio_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shard = make_tar(tmp_path / "s.tar", {"1.txt": b"one", "2.wav": audio_bytes(), "2.txt": b"two"})
    with caplog.at_level(logging.WARNING):
        assert unpack_shards([shard], tmp_path / "out")[1] == 1
    assert "1 samples without audio" in caplog.text
    with pytest.raises(ClapgenError, match=r"no audio in .*t\.tar"):
        unpack_shards([make_tar(tmp_path / "t.tar", {"1.txt": b"one"})], tmp_path / "out2")


@pytest.mark.parametrize("name", ["/abs/evil", "../../evil", "..", "a/../../evil", "~/evil", "-rf", "a\\..\\evil"])
def test_members_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "work").mkdir()
    members = {f"{name}.wav": audio_bytes(), f"{name}.json": b'{"text": "Evil", "path": "/etc/passwd", "free": "x"}'}
    manifest, _ = unpack_shards([make_tar(tmp_path / "s.tar", members)], tmp_path / "work" / "out")
    (clip,) = read_manifest(manifest)
    assert clip.path.resolve().is_relative_to(tmp_path / "work" / "out")
    assert clip.captions == ["Evil"]
    assert {path.name for path in tmp_path.iterdir()} == {"work", "s.tar"}


def test_links_and_pickles_are_never_followed_or_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "exploded"),)

    shard = make_tar(tmp_path / "s.tar", {"1.wav": audio_bytes(), "1.pyd": pickle.dumps(Bomb()), "1.txt": b"one"})
    (tmp_path / "secret").write_bytes(audio_bytes())
    with tarfile.open(shard, "a") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            link = tarfile.TarInfo("2.wav")
            link.type, link.linkname = kind, str(tmp_path / "secret")
            tar.addfile(link)
    manifest, count = unpack_shards([shard], tmp_path / "out")
    assert count == 1
    assert not (tmp_path / "exploded").exists()
    assert len(list((tmp_path / "out").rglob("*.wav"))) == 1
    assert read_manifest(manifest)[0].captions == ["one"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("1.json", b"{broken"),
        ("1.json", b"[1]"),
        ("1.json", b'{"text": [1]}'),
        ("1.txt", b"\xff\xfe\xff"),
        ("1.txt", b" " * (1 << 21)),
    ],
)
def test_errors_name_shard_and_member(tmp_path: Path, name: str, content: bytes) -> None:
    shard = make_tar(tmp_path / "bad.tar", {"1.wav": audio_bytes(), name: content})
    with pytest.raises(ClapgenError) as error:
        unpack_shards([shard], tmp_path / "out")
    assert str(shard) in str(error.value)
    assert repr(name) in str(error.value)
    assert not (tmp_path / "out" / "manifest.jsonl").exists()


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_truncated_shards_are_errors(tmp_path: Path, clips: list[Clip], kept: float, mode: str) -> None:
    members = {f"{number}.wav": os.urandom(3000) for number in range(8)}
    shard = make_tar(tmp_path / "cut.tar", members, mode)
    end = 8 * (512 + 3072) if mode == "w" else shard.stat().st_size
    os.truncate(shard, int(kept * end))
    with pytest.raises(ClapgenError, match=r"cut\.tar"):
        unpack_shards([shard], tmp_path / "out")


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    shard = make_tar(tmp_path / "bad.tar", {f"{number}.wav": audio_bytes() for number in range(3)})
    content = bytearray(shard.read_bytes())
    size = len(content) // 512 * 512
    second = next(at for at in range(512, size, 512) if content[at : at + 5] == b"1.wav")
    content[second + 148] ^= 0x7F  # its checksum
    shard.write_bytes(content)
    with pytest.raises(ClapgenError, match=r"bad\.tar"):
        unpack_shards([shard], tmp_path / "out")


def test_what_is_no_tar_or_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text.tar").write_text("not a tar")
    for name in ("text.tar", "gone.tar"):
        with pytest.raises(ClapgenError, match=name):
            unpack_shards([tmp_path / name], tmp_path / "out")


def text(caption: str) -> bytes:
    return json.dumps({"caption": caption}).encode()


def captions_of(tmp_path: Path, members: dict[str, bytes]) -> list[list[str]]:
    manifest, _ = unpack_shards([make_tar(tmp_path / "s.tar", members)], tmp_path / "out")
    return [clip.captions for clip in read_manifest(manifest)]


def test_names_that_hold_dots_stay_apart(tmp_path: Path) -> None:
    names = [f"clip_1.{number}s" for number in range(3)]
    members = {f"{n}.{kind}": audio_bytes() if kind == "wav" else text(n) for n in names for kind in ("wav", "json")}
    assert captions_of(tmp_path, members) == [[name] for name in names]


@pytest.mark.parametrize(
    "members",
    [
        {"1.flac": audio_bytes("FLAC"), "1.seg.json": text("Rain")},
        {"1.x.flac": audio_bytes("FLAC"), "1.json": text("Rain")},
        {"1.mix.wav": audio_bytes(), "1.source.wav": audio_bytes(), "1.json": text("Rain")},
    ],
)
def test_a_webdataset_sample_with_several_extensions_stays_one(tmp_path: Path, members: dict[str, bytes]) -> None:
    assert captions_of(tmp_path, members) == [["Rain"]]
    assert len(list((tmp_path / "out" / "000000").iterdir())) == 1


def test_members_need_not_be_sorted(tmp_path: Path) -> None:
    names = ["airplane", "breathing", "can_opening"]
    members = {f"{name}.wav": audio_bytes() for name in names} | {f"{name}.json": text(name) for name in names[::-1]}
    assert captions_of(tmp_path, members) == [[name] for name in names]


def test_a_name_that_comes_twice_is_of_two_samples(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for number in range(2):
            for name, content in (("0.wav", audio_bytes()), ("0.json", text(f"take {number}"))):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    manifest, _ = unpack_shards([tmp_path / "s.tar"], tmp_path / "out")
    assert [clip.captions for clip in read_manifest(manifest)] == [["take 0"], ["take 1"]]


def test_what_macos_adds_is_skipped(tmp_path: Path) -> None:
    debris = {"._0.wav": b"\0\5\x16\7", "._0.json": b"\0\5\x16\7", "__MACOSX/0.json": b"no json"}
    assert captions_of(tmp_path, {**debris, "0.wav": audio_bytes(), "0.json": text("Rain")}) == [["Rain"]]
