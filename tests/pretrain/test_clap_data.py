"""The data of CLAP training: its sample rate, clips without text, draws, class fields, resumes, many processes."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from clap_recipes import recipe_for
from joined_clap import train_joined
from launch import run_processes

from clapgen.clap import Clap
from clapgen.data.audio_cache import AudioCache
from clapgen.data.manifest import Clip
from clapgen.data.splits import class_of, split_clips
from clapgen.errors import ClapgenError
from clapgen.testing import SAMPLE_RATE, tiny_model
from clapgen.training.loop import train
from pretrain.data.captions import true_names
from pretrain.data.sounds import epoch_rows, partners
from pretrain.distillation import DistillationTask, TextRecipe
from pretrain.recipe import ClapTask, class_accuracy, embed_clips


def write_manifest(path: Path, recordings: list[Path], **changes) -> Path:
    lines = [
        {"path": str(clip), "captions": [f"The sound of a {clip.stem}"], "labels": [clip.stem], **changes}
        for clip in recordings
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_a_clap_that_is_trained_further_gets_its_own_sample_rate(tmp_path, recordings):
    manifest = write_manifest(tmp_path / "m.jsonl", recordings)
    recipe = recipe_for(manifest, tmp_path / "run", start_from=str(tiny_model(tmp_path / "tiny")))
    recipe.clap.audio.sample_rate = 4 * SAMPLE_RATE  # as the default's is, where no clap: section is given
    task = ClapTask(recipe)
    assert task.data.sample_rate == task.clap.sample_rate == SAMPLE_RATE
    assert recipe.clap.audio.sample_rate == SAMPLE_RATE  # what config.yaml will say


def test_clips_without_text_are_named_and_left_out_before_training(tmp_path, recordings, caplog):
    manifest = write_manifest(tmp_path / "m.jsonl", recordings[:3])
    without = [{"path": str(recordings[3])}, {"path": str(recordings[4]), "captions": ["  "], "labels": [""]}]
    with open(manifest, "a") as file:
        file.writelines(f"\n{json.dumps(line)}" for line in without)
    task = ClapTask(recipe_for(manifest, tmp_path))
    assert [clip.path for clip in task.data.clips] == recordings[:3]
    assert "2 clips have neither captions nor labels" in caplog.text and recordings[3].name in caplog.text
    for index in range(3):
        task.batch(index, torch.Generator().manual_seed(index))
    empty = write_manifest(tmp_path / "empty.jsonl", recordings, captions=[], labels=[])
    with pytest.raises(ClapgenError, match="no clip has captions or labels"):
        ClapTask(recipe_for(empty, tmp_path))


def test_every_clip_is_drawn_once_an_epoch_in_a_new_order():
    epochs = [[row for index in range(3) for row in epoch_rows(3 * epoch + index, 3, 10, 0)] for epoch in range(3)]
    assert all(len(set(rows)) == 9 for rows in epochs) and len({tuple(rows) for rows in epochs}) == 3
    assert epoch_rows(4, 3, 10, 0) == epoch_rows(4, 3, 10, 0) != epoch_rows(4, 3, 10, 1)
    assert sorted(epoch_rows(0, 25, 10, 0)) == sorted([*range(10), *range(10), *epoch_rows(0, 25, 10, 0)[20:]])


def test_the_partners_of_a_batch_are_others():
    for seed in range(20):
        second = partners([3, 1, 4], 7, torch.Generator().manual_seed(seed))
        assert len({3, 1, 4, *second}) == 6
    assert len(partners([0, 1, 2], 4, torch.Generator())) == 3 and partners([0], 1, torch.Generator()) == [0]


def test_no_clip_is_its_own_negative(tmp_path, recordings):
    recipe = recipe_for(write_manifest(tmp_path / "m.jsonl", recordings), tmp_path)
    recipe.augment.mix_probability, recipe.training.batch_size = 1.0, len(recordings) // 2
    task = ClapTask(recipe)
    for index in range(10):
        drawn = [
            clip.path for row in task.batch(index, torch.Generator().manual_seed(index))["rows"] for clip in row.clips
        ]
        assert len(set(drawn)) == len(drawn) == 2 * recipe.training.batch_size


@pytest.mark.parametrize("name", ["infonce", "soft-infonce", "sigmoid"])
def test_contrast_within_a_batch_of_one_is_refused(name, tmp_path, recordings):
    recipe = recipe_for(write_manifest(tmp_path / "m.jsonl", recordings), tmp_path, objectives={name: 1.0})
    recipe.training.batch_size = 1
    with pytest.raises(ClapgenError, match=f"{name} compares the rows of a batch: training.batch_size"):
        ClapTask(recipe)


def test_a_class_may_be_a_number():
    clips = [Clip(Path("a.wav"), labels=["rain"], extra={"class": number}) for number in (0, 1, None)]
    assert [true_names(clip, "class") for clip in clips] == [["0", "rain"], ["1", "rain"], ["rain"]]
    assert [class_of(clip, "class") for clip in clips] == ["0", "1", ""]
    clap = Clap.from_pretrained()
    assert 0 <= class_accuracy(clap, clap.embed_text(["a", "b", "c"]), clips, "class")["zero_shot_accuracy"] <= 1


def test_recordings_in_both_splits_are_reported(tmp_path, caplog):
    path = tmp_path / "m.jsonl"
    rows = [("a", "r1", "train"), ("b", "r2", "train"), ("c", "r1", "val"), ("d", None, "train"), ("e", None, "val")]
    lines = [{"path": f"{name}.wav", "recording": recording, "split": split} for name, recording, split in rows]
    path.write_text("\n".join(map(json.dumps, lines)))
    training, held_out = split_clips(path)
    assert (len(training), len(held_out)) == (3, 2)
    assert "1 recordings have clips both in training and in validation" in caplog.text and "r1" in caplog.text


def test_validation_holds_few_waveforms_at_a_time(tmp_path, recordings, monkeypatch):
    clips = [Clip(path) for path in recordings]
    cache = AudioCache.build(clips, SAMPLE_RATE, tmp_path / "cache", progress=False)
    clap = Clap.from_pretrained(tiny_model(tmp_path / "tiny"))
    expected = clap.embed_audio([cache.waveform(i) for i in range(len(cache))], SAMPLE_RATE)
    most, embed = [], clap.embed_audio

    def counted(waveforms, rate):
        most.append(len(waveforms))
        return embed(waveforms, rate)

    monkeypatch.setattr("pretrain.recipe.CLIPS_IN_MEMORY", 2)
    monkeypatch.setattr(clap, "embed_audio", counted)
    assert torch.allclose(embed_clips(clap, cache), expected, atol=1e-5)
    assert max(most) == 2


def test_a_resumed_clap_keeps_its_tokenizer_and_refuses_other_captions(tmp_path, recordings):
    def task(captions: list[str], **training) -> ClapTask:
        recipe = recipe_for(write_manifest(tmp_path / "m.jsonl", recordings, captions=captions), tmp_path)
        recipe.training.steps, recipe.training.evaluate_every = 1, 0
        for key, value in training.items():
            setattr(recipe.training, key, value)
        return ClapTask(recipe)

    first = task(["a purring engine"])
    train(first, first.recipe.training)
    edited = task(["zithers and xylophones"], steps=2)
    with pytest.raises(ClapgenError, match=r"training clips: 6 clips .* -> 6 clips"):
        train(edited, edited.recipe.training)
    allowed = task(["zithers and xylophones"], steps=2, allow_changes=True)
    assert allowed.clap.tokenizer.to_str() == first.clap.tokenizer.to_str()
    train(allowed, allowed.recipe.training)
    exported = Clap.from_pretrained(tmp_path / "model")
    assert exported.tokenizer.encode("a purring engine").ids == first.clap.tokenizer.encode("a purring engine").ids


@pytest.mark.slow
def test_two_processes_train_a_real_clap_like_one_on_the_joined_batch(tmp_path, recordings):
    manifest = write_manifest(tmp_path / "m.jsonl", recordings)
    train_joined(manifest, tmp_path)
    script = str(Path(__file__).with_name("joined_clap.py"))
    run_processes([sys.executable, script, str(manifest), str(tmp_path)], world=2)
    one, two = (torch.load(tmp_path / f"clap-{n}.pt", weights_only=True) for n in (1, 2))
    difference = {key: (one[key].float() - two[key].float()).abs().max().item() for key in one}
    assert max(difference.values()) < 5e-4, sorted(difference.items(), key=lambda item: -item[1])[:5]
    logs = [json.loads((tmp_path / n / "log.jsonl").read_text().splitlines()[0])["loss"] for n in ("1", "2")]
    assert logs[0] == pytest.approx(logs[1], rel=1e-3)  # the mean over processes


class Lengths(DistillationTask):
    """Only the batches: no teacher."""

    def __init__(self, count: int, batch_size: int) -> None:
        self.recipe, self.training = TextRecipe(), list(range(count))
        self.recipe.training.batch_size = batch_size

    def _rows(self, rows, generator=None):
        return torch.tensor(rows)


def test_distillation_draws_the_longest_and_shortest_texts_as_often_as_others():
    task, generator = Lengths(1000, 16), torch.Generator().manual_seed(0)
    drawn = torch.cat([task.batch(index, generator) for index in range(6000)]).bincount(minlength=1000)
    assert drawn.sum() == 6000 * 16
    assert np.quantile(drawn[-10:], 0.5) > 0.85 * 96 and drawn.min() > 0.6 * 96  # the mean is 96
    assert len(Lengths(5, 16).batch(0, generator)) == 5
