"""What is trained, and how: the `Task` that the training loop drives, and the settings that all tasks share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class TrainingConfig:
    """Training settings that all tasks share.

    `learning_rate` rises linearly over `warmup_steps`, then falls as a cosine to `final_learning_rate` times itself at
    `steps`. `batch_size` is per process; `accumulate` micro-batches make one step. `precision` is "bf16" or "no".
    `ema_decay` is the decay of the moving averages of the weights. `keep` is the number of checkpoints to keep.
    """

    output: str = "runs/new"
    steps: int = 10_000
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


class Task(ABC):
    """What the loop trains. Every step calls `prepare`, `loss` for each optimizer and micro-batch, and `after_step`.

    `averages` holds the moving averages of the networks in `ema_networks`, as state dicts; the loop sets it. A task
    with a target network (BYOL, MoCo, SLAP) loads them into a copy in `prepare`, and must not change them.
    """

    averages: Mapping[str, Mapping[str, Tensor]] = MappingProxyType({})

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """Every module that is trained or has state to keep in a checkpoint, by name."""

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


def weight_decay_groups(networks: Iterable[nn.Module]) -> list[dict[str, Any]]:
    """Optimizer groups with weight decay on matrices and kernels only: not on biases, norms, scalars (as in GPT-2)."""
    parameters = [p for network in networks for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim >= 2]},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
