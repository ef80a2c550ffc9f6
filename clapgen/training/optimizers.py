"""The optimizers of a run: AdamW on clipped gradients, scaled if they are fp16."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from clapgen.training.task import TrainingConfig

SMALLEST_SCALE = 1.0  # of fp16 gradients; where even these overflow, training has diverged


class Optimizers:
    """One AdamW for each name of `Task.parameter_groups`."""

    def __init__(self, groups: Mapping[str, Any], config: TrainingConfig, device: torch.device) -> None:
        betas = (config.betas[0], config.betas[1])
        self.optimizers = {
            name: torch.optim.AdamW(given, lr=config.learning_rate, betas=betas, weight_decay=config.weight_decay)
            for name, given in groups.items()
        }
        fp16 = config.precision == "fp16"
        self.scalers = {name: torch.amp.GradScaler(device.type, enabled=fp16) for name in self.optimizers}
        self.clip_norm = config.clip_norm

    def __iter__(self) -> Iterator[str]:
        return iter(self.optimizers)

    def zero_grad(self, name: str) -> None:
        """Forget the gradients of an optimizer's parameters."""
        self.optimizers[name].zero_grad(set_to_none=True)

    def backward(self, name: str, loss: Tensor) -> None:
        """Add the gradients of a loss to those of earlier micro-batches."""
        self.scalers[name].scale(loss).backward()

    def step(self, name: str, rate: float, average: Callable[[list[nn.Parameter]], None]) -> float | None:
        """Update the parameters; the norm of their gradient before clipping. None if fp16 overflowed: no update.

        `average` averages gradients over processes.
        """
        optimizer, scaler = self.optimizers[name], self.scalers[name]
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        average(parameters)
        scaler.unscale_(optimizer)
        norm = float(nn.utils.clip_grad_norm_(parameters, self.clip_norm))
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("learning_rate_scale", 1.0)
        scaler.step(optimizer)
        scaler.update()
        overflowed = scaler.is_enabled() and not math.isfinite(norm) and scaler.get_scale() >= SMALLEST_SCALE
        return None if overflowed else norm

    def state_dict(self) -> dict[str, Any]:
        """State of each optimizer by name, for a checkpoint."""
        return {
            name: {**optimizer.state_dict(), "scaler": self.scalers[name].state_dict()}
            for name, optimizer in self.optimizers.items()
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Load the moments of each parameter; weight decay, betas and scales of the rate stay as they are.

        Raises:
            KeyError, ValueError: other optimizers, or groups with other numbers of parameters.
        """
        for name, optimizer in self.optimizers.items():
            groups, before = optimizer.state_dict()["param_groups"], saved[name]["param_groups"]
            if [len(group["params"]) for group in before] != [len(group["params"]) for group in groups]:
                raise ValueError("the optimizer has other parameter groups")
            optimizer.load_state_dict({"state": saved[name]["state"], "param_groups": groups})
            if scaler := saved[name].get("scaler"):  # empty unless fp16
                self.scalers[name].load_state_dict(scaler)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The autocast context of `TrainingConfig.precision`."""
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=precision != "no")


def precision_advice(device: torch.device, precision: str) -> str:
    """What to say about the precision on this device; empty if it is a good one."""
    if device.type == "cuda" and precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "this GPU has no bf16 and emulates it slowly; training.precision=fp16 is faster"
    return ""
