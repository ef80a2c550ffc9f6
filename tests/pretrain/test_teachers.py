"""Audio teachers: the aisfx network and front end, and tables of targets that never hold a held-out clip."""

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from clapgen.cli.pretrain import app
from clapgen.data.manifest import Clip, read_manifest, save_manifest
from clapgen.embedders import load_embedder
from clapgen.embedders.store import MemoryStore
from clapgen.errors import ClapgenError
from clapgen.testing import tiny_model
from pretrain.teachers import TeacherTable, write_teacher_table
from pretrain.teachers.aisfx import Aisfx, AisfxNetwork, blocks_of, convert, htk_filters
from pretrain.teachers.table import centred

RATE = 8000


class Statistics:
    """A teacher that a test can follow: peak, mean power and zero crossings."""

    name, hash, dim, sample_rate, window_policy = "statistics", "1", 3, RATE, "whole"

    def embed_audio(self, waveforms: Sequence[Any], sample_rate: int) -> torch.Tensor:
        return torch.stack([self.embed_frames(waveform, sample_rate)[0] for waveform in waveforms])

    def embed_frames(self, waveform: Any, sample_rate: int) -> torch.Tensor:
        samples = torch.as_tensor(waveform)
        crossings = (samples[1:].sign() != samples[:-1].sign()).float().mean()
        return torch.stack([samples.abs().max(), samples.square().mean(), crossings])[None]


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    found = []
    for index in range(6):
        path = tmp_path / f"sounds/{index}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, 0.1 * (index + 1) * np.sin(np.arange(4000) * (index + 1) / 9), RATE)
        found.append(Clip(path, [f"sound {index}"], recording=f"r{index}", split="val" if index == 5 else "train"))
    return found


@pytest.fixture
def table(tmp_path: Path, clips: list[Clip]) -> Path:
    file = tmp_path / "table.safetensors"
    assert write_teacher_table([Statistics()], clips, file, tmp_path) == []
    return file


def expected(clip: Clip) -> torch.Tensor:
    waveform, _ = soundfile.read(clip.path, dtype="float32")
    return Statistics().embed_audio([waveform], RATE)[0].half().float()


def test_each_clip_gets_its_own_target_in_any_order(table: Path, clips: list[Clip]) -> None:
    chosen = [clips[3], clips[0]]
    loaded = TeacherTable.load(table, chosen)
    torch.testing.assert_close(loaded.targets, torch.stack([expected(clip) for clip in chosen]))
    assert loaded.teachers == [{"name": "statistics", "hash": "1", "dim": 3}]
    assert not loaded.missing
    assert not loaded.withheld


def test_a_renamed_file_keeps_its_target_and_a_changed_one_loses_it(
    table: Path, clips: list[Clip], caplog: pytest.LogCaptureFixture
) -> None:
    before = TeacherTable.load(table, clips[:2]).targets
    renamed = clips[0].path.rename(clips[0].path.with_name("other.wav"))
    soundfile.write(clips[1].path, np.zeros(4000), RATE)
    loaded = TeacherTable.load(table, [replace(clips[0], path=renamed), clips[1]])
    torch.testing.assert_close(loaded.targets[0], before[0])
    assert not loaded.targets[1].any()
    assert loaded.missing == [clips[1].path]
    assert "1 of 2 clips have no target" in caplog.text


def test_no_held_out_clip_is_ever_a_target(table: Path, clips: list[Clip], tmp_path: Path) -> None:
    held_out = [clips[5]]
    copy = tmp_path / "copy.wav"  # the same content under another name and recording
    copy.write_bytes(clips[5].path.read_bytes())
    relative = replace(clips[2], recording="r5")
    training = [clips[0], clips[5], Clip(copy, recording="other"), relative, clips[1]]
    loaded = TeacherTable.load(table, training, held_out)
    assert loaded.withheld == [clips[5].path, copy, relative.path]
    assert loaded.targets.any(1).tolist() == [True, False, False, False, True]
    with pytest.raises(ClapgenError, match="none of the 1 training clips"):
        TeacherTable.load(table, held_out, held_out)


def test_centred_targets_have_length_one_and_no_common_part(table: Path, clips: list[Clip]) -> None:
    loaded = TeacherTable.load(table, clips[:5]).targets
    targets = centred(loaded)
    assert not centred(torch.cat([loaded, torch.zeros(1, 3)]))[5].any()
    torch.testing.assert_close(targets.norm(dim=1), torch.ones(5))
    raw = torch.stack([expected(clip) for clip in clips[:5]])
    assert torch.nn.functional.normalize(raw, dim=-1).mean(0).norm() > 3 * targets.mean(0).norm()


def test_the_similarity_of_an_ensemble_is_the_mean_of_its_members(tmp_path: Path, clips: list[Clip]) -> None:
    models = [load_embedder(str(tiny_model(tmp_path / f"model{seed}", seed))) for seed in (1, 2)]
    for index, members in enumerate((models[:1], models[1:], models)):
        write_teacher_table(members, clips, tmp_path / f"{index}.safetensors", tmp_path)
    one, two, both = (TeacherTable.load(tmp_path / f"{index}.safetensors", clips).targets for index in range(3))
    torch.testing.assert_close(both @ both.T, (one @ one.T + two @ two.T) / 2, atol=2e-3, rtol=0)


def test_what_is_not_a_table_is_one_clear_line(tmp_path: Path, clips: list[Clip]) -> None:
    other = tmp_path / "weights.safetensors"
    save_file({"embeddings": torch.zeros(2, 3)}, other)
    with pytest.raises(ClapgenError, match="is not a teacher table"):
        TeacherTable.load(other, clips)
    with pytest.raises(ClapgenError, match="cannot read the teacher table"):
        TeacherTable.load(tmp_path / "none.safetensors", clips)


def test_a_killed_run_continues_from_its_cache(tmp_path: Path, clips: list[Clip]) -> None:
    class Dying(Statistics):
        calls = 0

        def embed_audio(self, waveforms: Sequence[Any], sample_rate: int) -> torch.Tensor:
            self.calls += 1
            if self.calls > 1:
                raise KeyboardInterrupt
            return super().embed_audio(waveforms, sample_rate)

    many = [replace(clips[0], path=clips[0].path.with_name(f"n{index}.wav")) for index in range(20)]
    for index, clip in enumerate(many):
        soundfile.write(clip.path, np.sin(np.arange(1000) * (index + 1) / 50), RATE)
    cache = MemoryStore()
    with pytest.raises(KeyboardInterrupt):
        write_teacher_table([Dying()], many, tmp_path / "t.safetensors", tmp_path, cache)
    assert not (tmp_path / "t.safetensors").exists()
    done: list[int] = []
    write_teacher_table([Statistics()], many, tmp_path / "t.safetensors", tmp_path, cache, advance=done.append)
    assert done[0] == 8  # known from the first run


def test_the_command_writes_a_table_that_training_reads(tmp_path: Path, clips: list[Clip]) -> None:
    manifest, output, model = tmp_path / "m.jsonl", tmp_path / "t.safetensors", str(tiny_model(tmp_path / "model"))
    save_manifest(clips, manifest)
    options = [str(manifest), "-o", str(output), "--no-cache", "--device", "cpu"]
    result = CliRunner().invoke(app, ["teacher", model, *options])
    assert result.exit_code == 0, result.output
    assert "6 clips, 16 dimensions" in result.stdout
    [first] = load_embedder(model).embed_audio([soundfile.read(clips[0].path, dtype="float32")[0]], RATE)
    loaded = TeacherTable.load(output, read_manifest(manifest))
    torch.testing.assert_close(loaded.targets[0], first, atol=1e-3, rtol=0)
    again = CliRunner().invoke(app, ["teacher", model, *options])
    assert isinstance(again.exception, ClapgenError)
    assert "already exists" in str(again.exception)
    named = CliRunner().invoke(app, ["teacher", model, str(manifest), "-o", str(tmp_path / "t.csv")])
    assert isinstance(named.exception, ClapgenError) and "must end in .safetensors" in str(named.exception)


def test_the_same_clips_give_the_same_bytes(table: Path, clips: list[Clip], tmp_path: Path) -> None:
    for number in range(8):
        write_teacher_table([Statistics()], clips, tmp_path / "again.safetensors", tmp_path, overwrite=number > 0)
        assert (tmp_path / "again.safetensors").read_bytes() == table.read_bytes()


@pytest.fixture(scope="module")
def aisfx(tmp_path_factory: pytest.TempPathFactory) -> Aisfx:
    """The teacher with seeded random weights."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("aisfx") / "weights.safetensors"
    save_file(AisfxNetwork().state_dict(), file)
    return load_embedder(f"aisfx:{file}")  # type: ignore[return-value]


def test_aisfx_embeds_any_length_and_repeats_itself(aisfx: Aisfx) -> None:
    waveforms = [np.sin(np.arange(length) / 7, dtype=np.float32) for length in (1, 300, 44100, 150000)]
    table = aisfx.embed_audio(waveforms, 44100)
    assert table.shape == (4, 512)
    assert torch.isfinite(table).all()
    assert torch.equal(table, aisfx.embed_audio(waveforms, 44100))
    torch.testing.assert_close(table[2], aisfx.embed_audio([0.1 * waveforms[2]], 44100)[0], atol=1e-5, rtol=1e-4)


@pytest.mark.slow  # librosa takes long to load
def test_the_front_end_of_aisfx_matches_librosa(aisfx: Aisfx) -> None:
    noise = np.random.default_rng(0).standard_normal(60000).astype(np.float32)
    mel = librosa.feature.melspectrogram(
        y=noise / np.abs(noise).max(), sr=44100, n_mels=96, norm=1.0, fmin=0, fmax=22050, htk=True,
        hop_length=1024, win_length=2048,
    )  # fmt: skip
    reference = np.log10(mel * 10000 + 1).T / 9.457798957824707
    np.testing.assert_allclose(aisfx.log_mel(torch.from_numpy(noise)).numpy(), reference, atol=1e-5)


def test_each_mel_filter_of_aisfx_sums_to_one() -> None:
    np.testing.assert_allclose(htk_filters(44100, 2048, 96).sum(1), 1, atol=1e-12)


@pytest.mark.parametrize(("frames", "count"), [(1, 1), (100, 1), (149, 1), (150, 2), (260, 4)])
def test_blocks_overlap_by_half_and_the_rest_is_left_out(frames: int, count: int) -> None:
    blocks = blocks_of(torch.arange(1.0, frames + 1)[:, None].expand(frames, 3))
    assert blocks.shape == (count, 100, 3)
    assert blocks[-1, 0, 0] == 50 * (count - 1) + 1


def test_only_the_published_checkpoint_is_unpickled(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "executed",)

    file = tmp_path / "checkpoint.pth"
    file.write_bytes(pickle.dumps(Attack()))
    for checkpoint in (file, tmp_path):
        with pytest.raises(ClapgenError, match=r"not the checkpoint of aisfx 0\.1\.2"):
            Aisfx(checkpoint)
    assert not (tmp_path / "executed").exists()
    with pytest.raises(ClapgenError, match="does not exist"):
        Aisfx(tmp_path / "none.whl")
    (tmp_path / "other.whl").write_bytes(b"")
    with pytest.raises(ClapgenError, match="does not hold"):
        Aisfx(tmp_path / "other.whl")
    with pytest.raises(ClapgenError, match=r"needs its weights: pip download"):
        load_embedder("aisfx")


def test_converted_weights_are_the_same_network(aisfx: Aisfx, tmp_path: Path) -> None:
    save_file(aisfx.network.state_dict(), tmp_path / "one.safetensors")
    convert(tmp_path / "one.safetensors", tmp_path / "two.safetensors")
    assert Aisfx(tmp_path / "two.safetensors").hash == aisfx.hash
    save_file({"weight": torch.zeros(2)}, tmp_path / "three.safetensors")
    with pytest.raises(ClapgenError, match="does not hold the weights of aisfx"):
        Aisfx(tmp_path / "three.safetensors")


class Halves(Statistics):
    """Also hears half-overlapping parts of a tenth of a second."""

    def embed_audio(self, waveforms, sample_rate):
        return torch.cat([Statistics.embed_frames(self, waveform, sample_rate) for waveform in waveforms])

    def embed_frames(self, waveform, sample_rate):
        samples = torch.as_tensor(waveform)
        size = RATE // 10
        parts = samples.unfold(0, size, size // 2)
        return torch.cat([Statistics.embed_frames(self, part, sample_rate) for part in parts])


def test_a_crop_has_the_target_of_the_part_that_it_shows(tmp_path: Path) -> None:
    levels = [0.1, 0.5, 0.2, 0.9]
    for name, order in (("a", levels), ("b", levels[::-1])):
        loud = np.repeat(order, RATE // 4) * np.sin(np.arange(RATE) / 3)
        soundfile.write(tmp_path / f"{name}.wav", loud, RATE)
    clips = [Clip(tmp_path / "a.wav"), Clip(tmp_path / "b.wav")]
    write_teacher_table([Halves()], clips, tmp_path / "t.safetensors", tmp_path, parts=True)
    table = TeacherTable.load(tmp_path / "t.safetensors", clips)
    seconds = torch.ones(2)
    middles = torch.tensor([0.125, 0.375, 0.875, 0.125, float("nan")])
    found = table.of(torch.tensor([0, 0, 0, 1, 0]), middles, seconds)
    assert torch.allclose(found[:, 0], torch.tensor([0.1, 0.5, 0.9, 0.9, 0.9]), atol=0.02)  # the peak
    assert torch.equal(found[4], table.targets[0])
    assert not table.of(torch.tensor([-1]), middles[:1], seconds).any()
    shifted = table.centred()
    assert torch.allclose(shifted.parts.vectors.norm(dim=1), torch.ones(len(shifted.parts.vectors)))


def test_held_out_clips_have_no_parts(tmp_path: Path) -> None:
    for number in range(2):
        soundfile.write(tmp_path / f"{number}.wav", 0.1 * (number + 1) * np.sin(np.arange(RATE) / 3), RATE)
    clips = [Clip(tmp_path / f"{number}.wav", recording=f"r{number}") for number in range(2)]
    write_teacher_table([Halves()], clips, tmp_path / "t.safetensors", tmp_path, parts=True)
    table = TeacherTable.load(tmp_path / "t.safetensors", clips, [clips[1]])
    assert table.parts.first.diff().tolist()[1] == 0
    assert not table.of(torch.tensor([1]), torch.tensor([0.5]), torch.ones(2)).any()


def test_parts_are_of_one_teacher(tmp_path: Path, clips: list[Clip]) -> None:
    with pytest.raises(ClapgenError, match="one teacher only"):
        write_teacher_table([Halves(), Halves()], clips, tmp_path / "t.safetensors", parts=True)
