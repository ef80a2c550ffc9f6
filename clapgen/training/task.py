"""What is trained, and how: the `Task` that the training loop drives, and the settings that all tasks share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from clapgen.errors import ClapgenError

PRECISIONS = ("bf16", "fp16", "no")
_EVERY = ("log_every", "evaluate_every", "save_every")


@dataclass
class TrainingConfig:
    """Training settings that all tasks share.

    `learning_rate` rises linearly over `warmup_steps`, then falls as a cosine to `final_learning_rate` times itself at
    `steps`. `hours` is a time budget (0: none): training, with its evaluations, ends at the first step after it, and
    the learning rate falls with steps or time, whichever is nearer to its end. `batch_size` is per process;
    `accumulate` micro-batches make one step. `precision` is "bf16", "fp16" (with scaled gradients, for GPUs without
    bf16) or "no". `ema_decay` is the decay of the moving averages of the weights. `log_every`, `evaluate_every` and
    `save_every` count steps; 0 means at the end only. `keep` is the number of checkpoints to keep. `allow_changes`
    resumes a run although its data has changed.

    Raises:
        ClapgenError: a value is out of its range.
    """

    output: str = "runs/new"
    steps: int = 10_000
    hours: float = 0.0
    batch_size: int = 64
    accumulate: int = 1
    learning_rate: float = 1e-3
    final_learning_rate: float = 0.0
    warmup_steps: int = 200
    weight_decay: float = 0.05
    betas: list[float] = field(default_factory=lambda: [0.9, 0.99])
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    precision: str = "bf16"
    seed: int = 0
    log_every: int = 20
    evaluate_every: int = 1_000
    save_every: int = 500
    keep: int = 2
    allow_changes: bool = False

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raise `ClapgenError` for the first value that is out of its range."""
        for name in ("steps", "batch_size", "accumulate", "keep"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("hours", "warmup_steps", "final_learning_rate", "weight_decay", *_EVERY):
            never = "; 0 means at the end only" if name in _EVERY else ""
            _require(getattr(self, name) >= 0, name, getattr(self, name), f"at least 0{never}")
        for name in ("learning_rate", "clip_norm"):
            _require(0 < getattr(self, name) < math.inf, name, getattr(self, name), "greater than 0")
        in_range = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        _require(in_range, "betas", self.betas, "two numbers, each at least 0 and less than 1")
        _require(0 <= self.ema_decay < 1, "ema_decay", self.ema_decay, "at least 0 and less than 1")
        _require(self.precision in PRECISIONS, "precision", self.precision, f"one of {', '.join(PRECISIONS)}")


class Task(ABC):
    """What the loop trains. Every step calls `prepare`, `loss` for each optimizer and micro-batch, and `after_step`.

    `averages` holds the moving averages of the networks in `ema_networks`, as state dicts; the loop sets it. A task
    with a target network (BYOL, MoCo, SLAP) loads them into a copy in `prepare`, and must not change them.
    """

    averages: Mapping[str, Mapping[str, Tensor]] = MappingProxyType({})

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """Every module that is trained or has state to keep in a checkpoint, by name."""

    def provenance(self) -> dict[str, Any]:
        """What the run is made of, such as its clips: JSON values by name, kept in checkpoints.

        A run is not resumed with other values, unless `training.allow_changes` is set.
        """
        return {}

    def assets(self) -> dict[str, str]:
        """What was made from the data and belongs to the weights, such as a tokenizer: text by name, in checkpoints.

        A new task takes it from `stored_asset` if there is one, because edited data would give another one.
        """
        return {}

    def ema_networks(self) -> list[str]:
        """Names of the networks with an exponential moving average; all by default."""
        return list(self.networks())

    def parameter_groups(self) -> dict[str, list[dict[str, Any]]]:
        """Torch optimizer groups of each optimizer, by name; optimizers step in this order.

        A group may have a `learning_rate_scale`, which multiplies the schedule.
        """
        return {"model": weight_decay_groups(self.networks().values())}

    @abstractmethod
    def batch(self, index: int, generator: torch.Generator) -> Any:
        """The micro-batch with this index, on the CPU: a pure function of its arguments.

        Called ahead of time in a thread, before `prepare` of its step.
        """

    def prepare(self, step: int) -> None:
        """Called once before the losses of each step, also of the first step after a resume.

        Weights that are initialised from data are set here at step 0.
        """
        return None

    @abstractmethod
    def loss(self, batch: Any, group: str, step: int) -> tuple[Tensor | None, dict[str, Any]]:
        """Scalar loss of the optimizer `group` on a batch, and metrics to log. A loss of None skips that optimizer."""

    def after_step(self, step: int) -> None:
        """Called after the optimizers and the moving averages were updated (queues). State belongs in `networks`."""
        return None

    def evaluate(self) -> dict[str, float]:
        """Validation metrics. The networks have their moving averages as weights and are in eval mode."""
        return {}

    def export(self, directory: Path) -> None:
        """Write the model for users to `directory`. The networks have their moving averages as weights."""
        return None


def _require(correct: bool, name: str, value: Any, wanted: str) -> None:
    if not correct:
        raise ClapgenError(f"training.{name} must be {wanted}, not {value}")


def weight_decay_groups(networks: Iterable[nn.Module]) -> list[dict[str, Any]]:
    """Optimizer groups with weight decay on matrices and kernels only: not on biases, norms, scalars (as in GPT-2)."""
    parameters = [p for network in networks for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim >= 2]},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
