"""A resumed run uses the settings it announces, and refuses data that its checkpoint was not made of."""

import json
import os
from pathlib import Path

import pytest
import torch
from regression import Regression, config, losses

from clapgen.data.manifest import Clip
from clapgen.errors import ClapgenError
from clapgen.training.checkpoints import newest_checkpoint
from clapgen.training.loop import train
from clapgen.training.provenance import describe_clips, describe_texts, stored_asset


class Described(Regression):
    """Made of `texts`, with a vocabulary that is an asset."""

    def __init__(self, texts: list[str], output: Path) -> None:
        super().__init__()
        self.texts = texts
        self.vocabulary = stored_asset(output, "vocabulary") or " ".join(texts)

    def provenance(self):
        return {"texts": describe_texts(self.texts), "classes": self.texts}

    def assets(self):
        return {"vocabulary": self.vocabulary}


def test_a_run_is_not_resumed_with_other_data(tmp_path):
    train(Described(["rain", "wind"], tmp_path), config(tmp_path, steps=4))
    message = r"texts: 2 sentences \(\w+\) -> 1 sentences .*classes: .*allow_changes=true"
    with pytest.raises(ClapgenError, match=message):
        train(Described(["rain"], tmp_path), config(tmp_path, steps=6))
    train(Described(["rain", "wind"], tmp_path), config(tmp_path, steps=6))  # as before: nothing to refuse
    assert max(losses(tmp_path)) == 6


def test_changed_data_that_is_allowed_is_announced_and_keeps_the_vocabulary(tmp_path, capsys):
    train(Described(["rain", "wind"], tmp_path), config(tmp_path, steps=4))
    changed = Described(["rain", "hail", "snow"], tmp_path)
    train(changed, config(tmp_path, steps=8, allow_changes=True))
    assert "resuming with changed data: texts: 2 sentences" in capsys.readouterr().err
    assert changed.vocabulary == stored_asset(tmp_path, "vocabulary") == "rain wind"
    train(Described(["rain", "hail", "snow"], tmp_path), config(tmp_path, steps=9))  # now it is made of these


def test_a_checkpoint_without_a_record_of_its_data_says_so(tmp_path, capsys):
    train(Regression(), config(tmp_path, steps=4))
    meta = newest_checkpoint(tmp_path / "checkpoints") / "meta.json"
    meta.write_text(json.dumps({"step": 4, "seconds": 1.0}))
    train(Described(["rain"], tmp_path), config(tmp_path, steps=5))
    assert "step-00000004 is of an older version" in capsys.readouterr().err


def test_clips_are_described_by_what_they_say_not_by_where_they_lie():
    clip = Clip(Path("a/rain.wav"), ["Rain"], ["rain"], "r1", extra={"class": "rain", "url": "x"})
    moved = Clip(Path("b/rain.wav"), ["Rain"], ["rain"], "r1", extra={"class": "rain", "url": "y"})
    same = describe_clips([clip], [100], ["class"])
    assert describe_clips([moved], [100], ["class"]) == same
    others = [
        Clip(clip.path, ["Rain!"], ["rain"], "r1", extra=clip.extra),
        Clip(clip.path, ["Rain"], ["hail"], "r1", extra=clip.extra),
        Clip(clip.path, ["Rain"], ["rain"], "r2", extra=clip.extra),
        Clip(clip.path, ["Rain"], ["rain"], "r1", extra={"class": "hail"}),
    ]
    assert all(describe_clips([other], [100], ["class"]) != same for other in others)
    assert describe_clips([clip], [101], ["class"]) != same


class Scaled(Regression):
    """The learning rate of its biases is scaled."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def parameter_groups(self):
        (weights, biases) = super().parameter_groups()["model"]
        return {"model": [weights, {**biases, "learning_rate_scale": self.scale}]}


def test_a_resumed_run_uses_its_new_settings_and_keeps_the_moments(tmp_path, monkeypatch):
    used: list[list[dict]] = []
    step = torch.optim.AdamW.step

    def recorded(optimizer, *arguments):
        moments = [float(state["step"]) for state in optimizer.state.values()]
        used.append([{**group, "moments": moments} for group in optimizer.param_groups])
        return step(optimizer, *arguments)

    train(Scaled(1.0), config(tmp_path, steps=4))
    monkeypatch.setattr(torch.optim.AdamW, "step", recorded)
    scaled = Scaled(0.0)
    before = torch.load(tmp_path / "model" / "network.pt", weights_only=True)
    train(scaled, config(tmp_path, steps=5, weight_decay=0.5, betas=[0.5, 0.6], ema_decay=0.0))
    (weights, biases), *_ = used
    assert weights["weight_decay"] == 0.5 and biases["weight_decay"] == 0.0
    assert weights["betas"] == biases["betas"] == (0.5, 0.6)
    assert biases["lr"] == 0.0 < weights["lr"] and set(weights["moments"]) == {4.0}
    assert not torch.equal(before["0.weight"], scaled.network.state_dict()["0.weight"])


def test_micro_batches_continue_where_the_checkpoint_ended(tmp_path):
    class Recorded(Regression):
        def __init__(self) -> None:
            super().__init__()
            self.indices: list[int] = []

        def batch(self, index, generator):
            self.indices.append(index)
            return super().batch(index, generator)

    train(Recorded(), config(tmp_path, steps=4, accumulate=3))
    resumed = Recorded()
    train(resumed, config(tmp_path, steps=6, accumulate=3))
    assert resumed.indices[:6] == list(range(12, 18))


def test_a_checkpoint_is_on_disk_before_it_has_its_name_and_debris_is_removed(tmp_path, monkeypatch):
    debris = tmp_path / "checkpoints" / ".step-00000002.tmp"
    debris.mkdir(parents=True)
    (debris / "weights.safetensors").write_bytes(b"half")
    synced: list[tuple[str, bool]] = []
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        synced.append((path.name, (tmp_path / "checkpoints" / "step-00000004").exists()))
        fsync(descriptor)

    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc")
    monkeypatch.setattr(os, "fsync", recorded)
    train(Regression(), config(tmp_path, steps=4))
    files = {"weights.safetensors", "optimizers.pt", "meta.json", ".step-00000004.tmp"}
    assert files <= {name for name, named in synced if not named}
    assert ("checkpoints", True) in synced
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000004"]
