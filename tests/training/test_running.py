"""Runs on machines of others: signals, time budgets, one run for each output, fp16, settings that are checked."""

import fcntl
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import MagicMock

import accelerate
import pytest
import torch
from regression import Regression, config, losses

from clapgen.configuration import load_config
from clapgen.errors import ClapgenError
from clapgen.training.checkpoints import newest_checkpoint
from clapgen.training.loop import learning_rate_at, train
from clapgen.training.processes import Processes
from clapgen.training.task import TrainingConfig


class Stopped(Regression):
    """Receives signals in its seventh step."""

    def __init__(self, *signals: signal.Signals) -> None:
        super().__init__()
        self.signals = signals

    def loss(self, batch, group, step):
        if step == 6:
            for number in self.signals:
                os.kill(os.getpid(), number)
        return super().loss(batch, group, step)


def test_sigterm_finishes_the_step_saves_it_and_stops(tmp_path):
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt, match="step 7 is saved"):
        train(Stopped(signal.SIGTERM), config(tmp_path))
    assert newest_checkpoint(tmp_path / "checkpoints").name == "step-00000007"
    assert signal.getsignal(signal.SIGTERM) == handler
    train(Regression(), config(tmp_path))
    assert max(losses(tmp_path)) == 12


def test_a_second_signal_stops_in_the_middle_of_a_step_and_saves_no_half_of_it(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(Stopped(signal.SIGTERM, signal.SIGTERM), config(tmp_path))
    assert newest_checkpoint(tmp_path / "checkpoints").name == "step-00000004"


def test_sigterm_during_an_evaluation_saves_the_weights_in_training(tmp_path):
    class Evaluated(Regression):
        def evaluate(self):
            os.kill(os.getpid(), signal.SIGTERM)
            return {}

    train(Regression(), config(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        train(Evaluated(), config(tmp_path / "stopped", save_every=0))
    assert newest_checkpoint(tmp_path / "stopped" / "checkpoints").name == "step-00000006"
    train(Regression(), config(tmp_path / "stopped"))
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")


def test_a_time_budget_ends_the_run_with_a_model_and_a_checkpoint(tmp_path):
    metrics = train(Regression(), config(tmp_path, steps=100_000, hours=0.3 / 3600, evaluate_every=0, save_every=0))
    step = int(newest_checkpoint(tmp_path / "checkpoints").name.removeprefix("step-"))
    assert 0 < step < 100_000 and "output" in metrics and (tmp_path / "model" / "network.pt").exists()
    train(Regression(), config(tmp_path, steps=100_000, hours=0.3 / 3600))  # it is used up: nothing more to do
    assert max(losses(tmp_path)) == step


def test_the_learning_rate_falls_with_the_time_budget():
    options = TrainingConfig(steps=1000, warmup_steps=0, learning_rate=1.0, hours=1.0)
    assert learning_rate_at(0, options, 0.0) == pytest.approx(1.0)
    assert learning_rate_at(1, options, 1800.0) == pytest.approx(0.5, abs=1e-6)
    assert learning_rate_at(500, options, 10.0) == pytest.approx(0.5, abs=1e-6)
    assert learning_rate_at(1, options, 3600.0) == pytest.approx(0.0)


def test_two_runs_do_not_share_an_output_and_a_killed_one_leaves_no_lock(tmp_path):
    with open(tmp_path / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("process 17 on elsewhere")
        file.flush()
        with pytest.raises(ClapgenError, match=r"in use by another run \(process 17 on elsewhere\)"):
            train(Regression(), config(tmp_path))
    assert (tmp_path / ".lock").exists()  # as a killed run leaves it
    train(Regression(), config(tmp_path, steps=2))
    train(Regression(), config(tmp_path, steps=3))


def test_zero_means_at_the_end_only(tmp_path):
    train(Regression(), config(tmp_path, steps=5, log_every=0, evaluate_every=0, save_every=0))
    assert list(losses(tmp_path)) == [5]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000005"]
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "val/output" in row] == [5]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("steps=0", "steps must be at least 1"),
        ("batch_size=0", "batch_size must be at least 1"),
        ("accumulate=0", "accumulate must be at least 1"),
        ("keep=0", "keep must be at least 1"),
        ("log_every=-1", "log_every must be at least 0; 0 means at the end only"),
        ("warmup_steps=-5", "warmup_steps must be at least 0"),
        ("hours=-1", "hours must be at least 0"),
        ("learning_rate=0", "learning_rate must be greater than 0"),
        ("learning_rate=.nan", "learning_rate must be greater than 0"),
        ("clip_norm=.inf", "clip_norm must be greater than 0"),
        ("betas=[0.9]", "betas must be two numbers"),
        ("betas=[0.9,1.0]", "betas must be two numbers"),
        ("ema_decay=1", "ema_decay must be at least 0 and less than 1"),
        ("precision=half", "precision must be one of bf16, fp16, no"),
    ],
)
def test_settings_out_of_range_are_named_before_anything_is_read(setting, message, tmp_path):
    with pytest.raises(ClapgenError, match=f"training.{message}"):
        load_config(TrainingConfig, None, [setting])


def test_settings_changed_in_python_are_checked_too(tmp_path):
    options = config(tmp_path)
    options.accumulate = 0
    with pytest.raises(ClapgenError, match="accumulate must be at least 1"):
        train(Regression(), options)


def test_fp16_trains_like_fp32_and_leaves_out_a_step_that_overflows(tmp_path):
    class Large(Regression):
        """Its gradients overflow fp16 at the first scale of 65536."""

        def loss(self, batch, group, step):
            loss, details = super().loss(batch, group, step)
            return loss * (1e4 if step == 0 else 1.0), details

    train(Regression(), config(tmp_path / "plain"))
    train(Regression(), config(tmp_path / "half", precision="fp16"))
    plain, half = losses(tmp_path / "plain"), losses(tmp_path / "half")
    assert plain != half and all(half[step] == pytest.approx(plain[step], rel=0.1) for step in plain)
    task = Large()
    before = {key: value.clone() for key, value in task.network.state_dict().items() if "weight" in key}
    train(task, config(tmp_path / "large", precision="fp16", steps=1))
    assert all(torch.equal(before[key], task.network.state_dict()[key]) for key in before)
    train(Large(), config(tmp_path / "large", precision="fp16", steps=3))  # the scale is in the checkpoint
    assert all(math.isfinite(loss) for loss in losses(tmp_path / "large").values())


def test_accumulated_losses_are_averaged(tmp_path):
    class Repeated(Regression):
        def __init__(self) -> None:
            super().__init__()
            self.network = torch.nn.Linear(4, 1)

        def batch(self, index, generator):
            return torch.ones(8, 4)

    for count in (1, 2):
        torch.manual_seed(0)
        train(Repeated(), config(tmp_path / str(count), accumulate=count, steps=1))
    rows = [json.loads((tmp_path / n / "log.jsonl").read_text().splitlines()[0]) for n in ("1", "2")]
    assert rows[0]["grad_norm"] == pytest.approx(rows[1]["grad_norm"])
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"])


def test_the_other_processes_wait_longer_for_an_evaluation_than_nccl_would(monkeypatch):
    given = {}
    monkeypatch.setattr(accelerate, "Accelerator", lambda **options: given.update(options) or MagicMock())
    Processes()
    [handler] = given["kwargs_handlers"]
    assert handler.to_kwargs()["timeout"].total_seconds() >= 12 * 3600


@pytest.mark.slow
def test_a_terminated_command_exits_with_130_and_says_how_to_resume(tmp_path):
    script = (
        f"import sys; sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}\n"
        "from pathlib import Path\n"
        "import clapgen.cli, signal\n"
        "from test_running import Stopped, config, train\n"
        "try:\n"
        f"    train(Stopped(signal.SIGTERM), config(Path({str(tmp_path)!r})))\n"
        "except KeyboardInterrupt as error:\n"
        "    sys.exit(clapgen.cli._exit_code_and_message(error)[0])\n"
    )
    assert subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL, check=False).returncode == 130
