"""The training loop: exact resume after a kill, schedule, hooks, averages, two processes that train like one."""

import copy
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from launch import run_processes
from pairs import NAMES, train_pairs
from regression import Regression, config, losses
from torch import nn

from clapgen.errors import ClapgenError
from clapgen.training.checkpoints import newest_checkpoint
from clapgen.training.loop import learning_rate_at, train
from clapgen.training.task import TrainingConfig


class Killed(Regression):
    """Killed in the middle of its seventh step."""

    def loss(self, batch, group, step):
        if step == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(batch, group, step)


SCRIPT = """
import sys
sys.path[:0] = {path!r}
from test_training import Killed, config
from clapgen.training.loop import train
from pathlib import Path
train(Killed(), config(Path({output!r})))
"""


@pytest.mark.slow
def test_a_run_killed_and_resumed_has_the_losses_and_weights_of_one_that_was_not(tmp_path):
    train(Regression(), config(tmp_path / "whole"))
    script = SCRIPT.format(path=[str(Path(__file__).parent), *sys.path], output=str(tmp_path / "killed"))
    process = subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL, check=False)
    assert process.returncode == -signal.SIGKILL
    assert newest_checkpoint(tmp_path / "killed" / "checkpoints").name == "step-00000004"
    train(Regression(), config(tmp_path / "killed"))
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    states = [torch.load(tmp_path / n / "model" / "network.pt", weights_only=True) for n in ("whole", "killed")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_ctrl_c_waits_for_the_end_of_a_step_and_loses_none(tmp_path):
    class Interrupted(Regression):
        def loss(self, batch, group, step):
            if step == 6:
                os.kill(os.getpid(), signal.SIGINT)
            return super().loss(batch, group, step)

    train(Regression(), config(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        train(Interrupted(), config(tmp_path / "stopped"))
    assert newest_checkpoint(tmp_path / "stopped" / "checkpoints").name == "step-00000007"
    train(Regression(), config(tmp_path / "stopped"))
    left, right = losses(tmp_path / "whole"), losses(tmp_path / "stopped")
    assert {step: loss for step, loss in left.items() if step != 7} == {s: loss for s, loss in right.items() if s != 7}


class SelfDistilled(Regression):
    """Also matches the moving average of its own network (BYOL) and the mean of its last batches (a queue)."""

    def __init__(self) -> None:
        super().__init__()
        self.target = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.queue = nn.ParameterList([nn.Parameter(torch.zeros(3), requires_grad=False)])
        self.calls: list[str] = []

    def networks(self):
        return {"network": self.network, "queue": self.queue}

    def ema_networks(self):
        return ["network"]

    def prepare(self, step):
        self.calls.append(f"prepare {step}")
        self.target.load_state_dict(self.averages["network"])

    def loss(self, batch, group, step):
        self.calls.append(f"loss {step}")
        loss, _ = super().loss(batch, group, step)
        distance = (self.network(batch) - self.target(batch)).square().mean()
        self.last = loss.item()
        return loss + distance + self.queue[0].mean(), {"distance": distance}

    def after_step(self, step):
        self.calls.append(f"after {step}")
        self.queue[0].copy_(torch.cat([self.queue[0][1:], torch.tensor([self.last])]))


def test_a_step_is_prepared_once_and_followed_by_its_hook(tmp_path):
    task = SelfDistilled()
    train(task, config(tmp_path, steps=2, accumulate=2))
    assert task.calls == [f"{call} {step}" for step in (0, 1) for call in ("prepare", "loss", "loss", "after")]


def test_targets_follow_the_moving_averages_and_survive_a_resume(tmp_path):
    class Broken(SelfDistilled):
        def loss(self, batch, group, step):
            if step == 6:
                raise RuntimeError("power cut")
            return super().loss(batch, group, step)

    train(SelfDistilled(), config(tmp_path / "whole"))
    with pytest.raises(RuntimeError):
        train(Broken(), config(tmp_path / "resumed"))
    resumed = SelfDistilled()
    train(resumed, config(tmp_path / "resumed"))
    assert resumed.calls[0] == "prepare 4"
    assert losses(tmp_path / "resumed") == losses(tmp_path / "whole")
    rows = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert all(row["distance"] > 0 for row in rows if "distance" in row)


def test_the_averages_cannot_be_replaced_and_exclude_networks_without_one(tmp_path):
    task = SelfDistilled()
    train(task, config(tmp_path))
    exported = torch.load(tmp_path / "model" / "network.pt", weights_only=True)
    assert set(task.averages) == {"network"}
    assert all(torch.equal(exported[key], value) for key, value in task.averages["network"].items())
    with pytest.raises(TypeError):
        task.averages["network"]["0.weight"] = torch.zeros(16, 4)


def test_precision_is_chosen_run_by_run(tmp_path):
    plain, half = config(tmp_path / "plain"), config(tmp_path / "half")
    half.precision = "bf16"
    for options in (plain, half, plain):
        train(Regression(), options)
    assert losses(tmp_path / "plain") != losses(tmp_path / "half")
    assert losses(tmp_path / "plain")[12] == pytest.approx(losses(tmp_path / "half")[12], rel=0.1)


def test_accumulated_micro_batches_give_the_gradient_of_their_mean(tmp_path):
    class Linear(Regression):
        def __init__(self, joined: bool) -> None:
            torch.manual_seed(0)
            self.network, self.joined = nn.Linear(4, 1), joined

        def batch(self, index, generator):
            indices = (2 * index, 2 * index + 1) if self.joined else (index,)
            return torch.cat([torch.randn(8, 4, generator=torch.Generator().manual_seed(i)) for i in indices])

    split, joined = Linear(joined=False), Linear(joined=True)
    train(split, config(tmp_path / "a", accumulate=2, steps=5))
    train(joined, config(tmp_path / "b", steps=5))
    assert torch.allclose(split.network.weight, joined.network.weight, atol=1e-6)


def test_the_learning_rate_warms_up_and_falls_to_its_final_share():
    options = TrainingConfig(steps=100, warmup_steps=10, learning_rate=1.0, final_learning_rate=0.1)
    rates = [learning_rate_at(step, options) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(1.0) and rates[100] == pytest.approx(0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_a_run_that_goes_on_by_another_recipe_says_what_changed(tmp_path, capsys):
    train(Regression(), first := config(tmp_path), recipe=first)
    assert "changed settings" not in capsys.readouterr().err
    train(Regression(), second := config(tmp_path, steps=14, learning_rate=5e-4), recipe=second)
    printed = capsys.readouterr().err
    assert "steps 12 -> 14" in printed and "learning_rate 0.001 -> 0.0005" in printed and "seed" not in printed
    assert f"trained to step 14: {tmp_path / 'model'}" in printed.replace("\n", "")


def test_a_finished_run_makes_its_model_again_if_it_is_gone(tmp_path):
    train(Regression(), config(tmp_path))
    (tmp_path / "model" / "network.pt").unlink()
    (tmp_path / "model").rmdir()
    assert train(Regression(), config(tmp_path)) and (tmp_path / "model" / "network.pt").exists()


def test_a_checkpoint_of_another_network_is_refused_by_name(tmp_path):
    train(Regression(), config(tmp_path))

    class Wider(Regression):
        def __init__(self) -> None:
            self.network = nn.Linear(4, 2)

    with pytest.raises(ClapgenError, match=r"step-00000012 does not fit this recipe \(Unexpected key.*weight"):
        train(Wider(), config(tmp_path))


def test_a_damaged_checkpoint_is_named_and_a_full_disk_leaves_the_last_one(tmp_path):
    train(Regression(), config(tmp_path, steps=4))
    checkpoint = newest_checkpoint(tmp_path / "checkpoints")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, limit[1]))
        with pytest.raises(ClapgenError, match=r"cannot write the checkpoint .*step-00000008"):
            train(Regression(), config(tmp_path, evaluate_every=100))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [checkpoint.name]
    for name in ("weights.safetensors", "optimizers.pt", "meta.json"):
        content = (checkpoint / name).read_bytes()
        (checkpoint / name).write_bytes(content[:-9])
        with pytest.raises(ClapgenError, match="step-00000004 is damaged"):
            train(Regression(), config(tmp_path))
        (checkpoint / name).write_bytes(content)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    class Broken(Regression):
        def loss(self, batch, group, step):
            return super().loss(batch, group, step)[0] * float("nan"), {}

    with pytest.raises(ClapgenError, match="diverged at step 0"):
        train(Broken(), config(tmp_path))


@pytest.mark.slow
def test_two_processes_train_like_one_on_the_joined_batch(tmp_path):
    train_pairs(tmp_path)
    run_processes([sys.executable, str(Path(__file__).with_name("pairs.py")), str(tmp_path)], world=2)
    for objective in NAMES:
        one, two = (torch.load(tmp_path / f"{objective}-{n}.pt", weights_only=True) for n in (1, 2))
        assert all(torch.allclose(one[key], two[key], atol=1e-5) for key in one), objective
