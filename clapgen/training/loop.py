"""The training loop of every network: each is a `Task`, trained on a CPU, a GPU or several processes.

All randomness of step k depends only on (seed, k, rank): a run that was killed and resumed gives the same losses as one
that never stopped. Devices and processes come from `accelerate`.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import time
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clapgen.errors import ClapgenError
from clapgen.files import exclusive_lock
from clapgen.training.averages import MovingAverages
from clapgen.training.checkpoints import load_checkpoint, newest_checkpoint, save_checkpoint
from clapgen.training.joined_batch import synchronise_batch_norms
from clapgen.training.log import TrainingLog, record_recipe
from clapgen.training.optimizers import Optimizers, autocast, precision_advice
from clapgen.training.processes import Processes
from clapgen.training.provenance import check_provenance
from clapgen.training.seeds import step_seed
from clapgen.training.stopping import StopSignals
from clapgen.training.task import Task, TrainingConfig


def learning_rate_at(step: int, config: TrainingConfig, seconds: float = 0.0) -> float:
    """Linear warm-up, then a cosine from `learning_rate` to `final_learning_rate * learning_rate`.

    The cosine follows the steps or, if `config.hours` is set, the time in training, whichever is nearer to its end.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = min(1.0, (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps))
    if config.hours:
        progress = max(progress, min(1.0, seconds / (3600 * config.hours)))
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return config.learning_rate * (config.final_learning_rate + (1 - config.final_learning_rate) * cosine)


def train(task: Task, config: TrainingConfig, resume: bool = True, recipe: Any = None) -> dict[str, float]:
    """Train `task` to `config.steps`, resuming from the newest checkpoint in `config.output` if there is one.

    Writes `log.jsonl`, `tensorboard/`, `checkpoints/step-*`, the `recipe` (a dataclass) as `config.yaml` and, at every
    evaluation and at the end, the exported `model/`. Settings that differ from those of the resumed run are printed.
    Ctrl-C and SIGTERM save a checkpoint first. Under `accelerate launch` each process draws its own batches, and
    gradients and logged metrics are averaged over processes.

    Returns:
        The metrics of the last evaluation.

    Raises:
        ClapgenError: a setting is out of range, accelerate is missing, another run writes to the output, a checkpoint
            is damaged, does not fit or was made of other data, the loss is not finite, or the output cannot be written.
    """
    config.check()
    processes = Processes()
    with _only_run(Path(config.output), processes.rank == 0):
        loop = _Loop(task, config, processes, resume)
        if recipe is not None and processes.rank == 0:
            record_recipe(recipe, loop.output / "config.yaml", resumed=loop.step > 0)
        return loop.run()


@contextmanager
def _only_run(output: Path, wanted: bool) -> Iterator[None]:
    def busy(holder: str) -> None:
        raise ClapgenError(f"{output} is in use by another run ({holder}); stop it, or set another training.output")

    output.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(output / ".lock", busy) if wanted else nullcontext():
        yield


class _Loop:
    def __init__(self, task: Task, config: TrainingConfig, processes: Processes, resume: bool) -> None:
        self.task, self.config, self.processes = task, config, processes
        self.output = Path(config.output)
        self.step, self.seconds = 0, 0.0
        device = processes.device
        self.networks = {name: network.to(device) for name, network in task.networks().items()}
        if processes.count > 1:
            for network in self.networks.values():
                synchronise_batch_norms(network)
        self.optimizers = Optimizers(task.parameter_groups(), config, device)
        self.averages = MovingAverages({name: self.networks[name] for name in task.ema_networks()}, config.ema_decay)
        task.averages = self.averages.view()
        self.provenance = json.loads(json.dumps({**task.provenance(), "processes": processes.count}))
        if resume:
            self._resume()
        processes.broadcast_weights(self.networks.values())

    @property
    def finished(self) -> bool:
        return self.step >= self.config.steps or 0 < self.config.hours <= self.seconds / 3600

    def run(self) -> dict[str, float]:
        for network in self.networks.values():
            network.train()
        metrics: dict[str, float] = {}
        self.log = TrainingLog(self.output, self.step, self.config.steps) if self.processes.rank == 0 else None
        if self.finished and not (self.output / "model").exists():
            metrics = self._evaluate()
        if self.log and (advice := precision_advice(self.processes.device, self.config.precision)):
            self.log.message(advice)
        batches = self._batches()
        try:
            with StopSignals(alone=self.processes.count == 1) as signals:
                metrics = self._train(batches, signals) or metrics
        finally:
            batches.close()
            if self.log:
                self.log.close()
        if self.log:
            self.log.message(f"trained to step {self.step}: {self.output / 'model'}")
        return metrics

    def _train(self, batches: Iterator[Any], signals: StopSignals) -> dict[str, float]:
        """Train until the run is finished or stopped; the metrics of the last evaluation."""
        metrics: dict[str, float] = {}
        started, logged_at, clock_base = time.monotonic(), self.step, self.seconds
        try:
            while not self.finished:
                with signals.whole():
                    step_metrics = self._train_step(batches)
                    self.step += 1
                    seconds = clock_base + time.monotonic() - started
                    stop, self.seconds = self.processes.agree(signals.requested, seconds)
                if self._due(self.config.log_every):
                    step_metrics = self.processes.mean(step_metrics)
                    rate = (self.step - logged_at) / max(1e-9, self.seconds - clock_base)
                    if self.log:
                        timing = {"steps_per_second": rate, "hours": self.seconds / 3600}
                        self.log.write(self.step, {**step_metrics, **timing})
                if self._due(self.config.evaluate_every):
                    metrics = self._evaluate()
                if self._due(self.config.save_every) or stop:
                    with signals.whole():
                        self._save()
                if stop:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            if self.processes.count == 1 and not signals.torn:
                self._save()
                saved = f"interrupted; step {self.step} is saved: repeat the command to resume."
                raise KeyboardInterrupt(saved) from None
            raise
        return metrics

    def _due(self, every: int) -> bool:
        return self.finished or (every > 0 and self.step % every == 0)

    def _train_step(self, batches: Iterator[Any]) -> dict[str, float]:
        config, device = self.config, self.processes.device
        micro_batches = [to_device(next(batches), device) for _ in range(config.accumulate)]
        torch.manual_seed(step_seed(config.seed + 1, self.step, self.processes.rank))
        self.task.prepare(self.step)
        rate = learning_rate_at(self.step, config, self.seconds)
        metrics: dict[str, float] = {"learning_rate": rate}
        for name in self.optimizers:
            self.optimizers.zero_grad(name)
            trained = False
            for batch in micro_batches:
                with autocast(device, config.precision):
                    loss, details = self.task.loss(batch, name, self.step)
                if loss is None:
                    continue
                trained = True
                self.optimizers.backward(name, loss / config.accumulate)
                for key, value in {f"loss_{name}" if name != "model" else "loss": loss, **details}.items():
                    metrics[key] = metrics.get(key, 0.0) + float(torch.as_tensor(value).detach()) / config.accumulate
            if trained:
                norm = self.optimizers.step(name, rate, self.processes.average_gradients)
                if norm is not None:
                    metrics[f"grad_norm_{name}" if name != "model" else "grad_norm"] = norm
        if not all(math.isfinite(value) for value in metrics.values()):
            raise ClapgenError(f"training diverged at step {self.step}: {metrics}; lower the learning rate")
        self.averages.update(self.step)
        self.task.after_step(self.step)
        return metrics

    @contextmanager
    def _evaluation(self) -> Iterator[None]:
        """Moving averages as weights, eval mode and no gradients."""
        with torch.no_grad(), self.averages.loaded():
            try:
                for network in self.networks.values():
                    network.eval()
                yield
            finally:
                for network in self.networks.values():
                    network.train()

    def _evaluate(self) -> dict[str, float]:
        metrics: dict[str, float] = {}
        if self.processes.rank == 0:
            with self._evaluation():
                metrics = self.task.evaluate()
                self.task.export(self.output / "model")
            if self.log and metrics:
                self.log.write(self.step, {f"val/{k}": v for k, v in metrics.items()})
        self.processes.wait()
        return metrics

    def _batches(self) -> Generator[Any, None, None]:
        """Micro-batches from the current step on; the next one is made in a thread during the current step."""
        config, rank = self.config, self.processes.rank

        def make(index: int) -> Any:
            generator = torch.Generator().manual_seed(step_seed(config.seed, index, rank))
            return self.task.batch(index, generator)

        with ThreadPoolExecutor(1) as pool:
            ahead: Future[Any] = pool.submit(make, self.step * config.accumulate)
            for index in itertools.count(self.step * config.accumulate + 1):
                current, ahead = ahead, pool.submit(make, index)
                yield current.result()

    def _save(self) -> None:
        if self.processes.rank == 0:
            save_checkpoint(
                self.output / "checkpoints",
                self.step,
                {f"network.{n}": network.state_dict() for n, network in self.networks.items()}
                | {f"ema.{n}": state for n, state in self.averages.states.items()},
                self.optimizers.state_dict(),
                {
                    "step": self.step,
                    "seconds": self.seconds,
                    "provenance": self.provenance,
                    "assets": self.task.assets(),
                },
                self.config.keep,
            )
        self.processes.wait()

    def _resume(self) -> None:
        found = newest_checkpoint(self.output / "checkpoints")
        if found is None:
            return
        tensors, optimizers, meta = load_checkpoint(found)
        for line in check_provenance(found, meta.get("provenance"), self.provenance, self.config.allow_changes):
            if self.processes.rank == 0:
                print(line, file=sys.stderr)
        try:
            for name, network in self.networks.items():
                network.load_state_dict(tensors.get(f"network.{name}", {}))  # a network without state has no entry
            for name, average in self.averages.states.items():
                average |= {key: tensors[f"ema.{name}"][key].to(value) for key, value in average.items()}
            self.optimizers.load_state_dict(optimizers)
        except (KeyError, RuntimeError, ValueError) as error:
            raise ClapgenError(
                f"checkpoint {found} does not fit this recipe ({str(error).splitlines()[-1].strip()}); "
                "set another training.output to start a new run"
            ) from error
        self.step, self.seconds = int(meta["step"]), float(meta["seconds"])


def to_device(batch: Any, device: torch.device) -> Any:
    """Move a batch to `device`: a tensor, or nested dicts of them. Anything else is returned as it is."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    return batch
