"""The training loop of every network: each is a `Task`, trained on a CPU, a GPU or several processes.

All randomness of step k depends only on (seed, k, rank): a run that was killed and resumed gives the same losses as one
that never stopped. Devices and processes come from `accelerate`.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clapgen.errors import ClapgenError
from clapgen.terminal import defer_keyboard_interrupt
from clapgen.training.averages import MovingAverages
from clapgen.training.checkpoints import load_checkpoint, newest_checkpoint, save_checkpoint
from clapgen.training.log import TrainingLog, record_recipe
from clapgen.training.seeds import step_seed
from clapgen.training.task import Task, TrainingConfig


def learning_rate_at(step: int, config: TrainingConfig) -> float:
    """Linear warm-up, then a cosine from `learning_rate` to `final_learning_rate * learning_rate`."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = min(1.0, (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return config.learning_rate * (config.final_learning_rate + (1 - config.final_learning_rate) * cosine)


def train(task: Task, config: TrainingConfig, resume: bool = True, recipe: Any = None) -> dict[str, float]:
    """Train `task` to `config.steps`, resuming from the newest checkpoint in `config.output` if there is one.

    Writes `log.jsonl`, `tensorboard/`, `checkpoints/step-*`, the `recipe` (a dataclass) as `config.yaml` and, at every
    evaluation and at the end, the exported `model/`. Settings that differ from those of the resumed run are printed.
    Under `accelerate launch` each process draws its own batches, and gradients are averaged over processes.

    Returns:
        The metrics of the last evaluation.

    Raises:
        ClapgenError: accelerate is missing, a checkpoint is damaged or does not fit, the loss is not finite, or the
            output cannot be written.
    """
    loop = _Loop(task, config, resume)
    if recipe is not None and loop.accelerator.is_main_process:
        record_recipe(recipe, loop.output / "config.yaml", resumed=loop.step > 0)
    return loop.run()


class _Loop:
    def __init__(self, task: Task, config: TrainingConfig, resume: bool) -> None:
        try:
            from accelerate import Accelerator
        except ImportError as error:
            raise ClapgenError('training needs accelerate: pip install "clapgen[train]"') from error
        if config.precision not in ("bf16", "no"):
            raise ClapgenError(f'unknown precision "{config.precision}": choose bf16 or no')
        self.accelerator = Accelerator()  # without its mixed precision, which is fixed for the life of a process
        self.task, self.config = task, config
        self.output = Path(config.output)
        self.step, self.seconds = 0, 0.0
        self.networks = {name: network.to(self.accelerator.device) for name, network in task.networks().items()}
        self.optimizers = {
            name: torch.optim.AdamW(
                groups,
                lr=config.learning_rate,
                betas=(config.betas[0], config.betas[1]),
                weight_decay=config.weight_decay,
            )
            for name, groups in task.parameter_groups().items()
        }
        self.averages = MovingAverages({name: self.networks[name] for name in task.ema_networks()}, config.ema_decay)
        task.averages = self.averages.view()
        self.output.mkdir(parents=True, exist_ok=True)
        if resume:
            self._resume()
        self._broadcast_weights()

    def run(self) -> dict[str, float]:
        for network in self.networks.values():
            network.train()
        metrics: dict[str, float] = {}
        main = self.accelerator.is_main_process
        self.log = TrainingLog(self.output, self.step, self.config.steps) if main else None
        if self.step >= self.config.steps and not (self.output / "model").exists():
            metrics = self._evaluate()
        batches = self._batches()
        started, logged_at = time.monotonic(), self.step
        clock_base = self.seconds
        try:
            while self.step < self.config.steps:
                with defer_keyboard_interrupt(self.accelerator.num_processes == 1):
                    sums = self._train_step(batches)
                    self.step += 1
                self.seconds = clock_base + time.monotonic() - started
                if self.log and (self.step % self.config.log_every == 0 or self.step == self.config.steps):
                    rate = (self.step - logged_at) / max(1e-9, self.seconds - clock_base)
                    self.log.write(self.step, {**sums, "steps_per_second": rate, "hours": self.seconds / 3600})
                last = self.step == self.config.steps
                if self.step % self.config.evaluate_every == 0 or last:
                    metrics = self._evaluate()
                if self.step % self.config.save_every == 0 or last:
                    self._save()
        except KeyboardInterrupt:
            if self.accelerator.num_processes == 1:  # several processes may be in different steps
                self._save()
            raise
        finally:
            batches.close()
            if self.log:
                self.log.close()
        if self.log:
            self.log.message(f"trained to step {self.step}: {self.output / 'model'}")
        return metrics

    def _train_step(self, batches: Iterator[Any]) -> dict[str, float]:
        config, accelerator = self.config, self.accelerator
        micro_batches = [to_device(next(batches), accelerator.device) for _ in range(config.accumulate)]
        torch.manual_seed(step_seed(config.seed + 1, self.step, accelerator.process_index))
        self.task.prepare(self.step)
        rate = learning_rate_at(self.step, config)
        metrics: dict[str, float] = {"learning_rate": rate}
        for name, optimizer in self.optimizers.items():
            optimizer.zero_grad(set_to_none=True)
            trained = False
            for batch in micro_batches:
                with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
                    loss, details = self.task.loss(batch, name, self.step)
                if loss is None:
                    continue
                trained = True
                (loss / config.accumulate).backward()
                for key, value in {f"loss_{name}" if name != "model" else "loss": loss, **details}.items():
                    metrics[key] = metrics.get(key, 0.0) + float(torch.as_tensor(value).detach()) / config.accumulate
            if trained:
                metrics[f"grad_norm_{name}" if name != "model" else "grad_norm"] = self._update(optimizer, rate)
        if not all(math.isfinite(value) for value in metrics.values()):
            raise ClapgenError(f"training diverged at step {self.step}: {metrics}; lower the learning rate")
        self.averages.update(self.step)
        self.task.after_step(self.step)
        return metrics

    def _update(self, optimizer: torch.optim.Optimizer, rate: float) -> float:
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        self._average_gradients(parameters)
        norm = nn.utils.clip_grad_norm_(parameters, self.config.clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("learning_rate_scale", 1.0)
        optimizer.step()
        return float(norm)

    def _average_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Average gradients over processes in one flat buffer. DDP would fix the order in which tasks call networks.

        Only parameters with a gradient take part, the same ones in every process: with a gradient of zero AdamW would
        keep moving a frozen network.
        """
        if self.accelerator.num_processes == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = self.accelerator.reduce(torch.cat([g.flatten() for g in gradients]), reduction="mean")
        for parameter, piece in zip(parameters, flat.split([g.numel() for g in gradients]), strict=True):
            parameter.grad = piece.view_as(parameter)

    def _broadcast_weights(self) -> None:
        if self.accelerator.num_processes > 1:
            for network in self.networks.values():
                for tensor in itertools.chain(network.parameters(), network.buffers()):
                    torch.distributed.broadcast(tensor.data, 0)

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
        if self.accelerator.is_main_process:
            with self._evaluation():
                metrics = self.task.evaluate()
                self.task.export(self.output / "model")
            if self.log and metrics:
                self.log.write(self.step, {f"val/{k}": v for k, v in metrics.items()})
        self.accelerator.wait_for_everyone()
        return metrics

    def _batches(self) -> Generator[Any, None, None]:
        """Micro-batches from the current step on; the next one is made in a thread during the current step."""
        config, rank = self.config, self.accelerator.process_index

        def make(index: int) -> Any:
            generator = torch.Generator().manual_seed(step_seed(config.seed, index, rank))
            return self.task.batch(index, generator)

        with ThreadPoolExecutor(1) as pool:
            ahead: Future[Any] = pool.submit(make, self.step * config.accumulate)
            for index in itertools.count(self.step * config.accumulate + 1):
                current, ahead = ahead, pool.submit(make, index)
                yield current.result()

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            save_checkpoint(
                self.output / "checkpoints",
                self.step,
                {f"network.{n}": network.state_dict() for n, network in self.networks.items()}
                | {f"ema.{n}": state for n, state in self.averages.states.items()},
                {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
                {"step": self.step, "seconds": self.seconds},
                self.config.keep,
            )
        self.accelerator.wait_for_everyone()

    def _resume(self) -> None:
        found = newest_checkpoint(self.output / "checkpoints")
        if found is None:
            return
        tensors, optimizers, meta = load_checkpoint(found)
        try:
            for name, network in self.networks.items():
                network.load_state_dict(tensors.get(f"network.{name}", {}))  # a network without state has no entry
            for name, average in self.averages.states.items():
                for key, value in average.items():
                    value.copy_(tensors[f"ema.{name}"][key])
            for name, optimizer in self.optimizers.items():
                optimizer.load_state_dict(optimizers[name])
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
