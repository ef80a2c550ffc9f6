"""The scheduler of Stable Audio Open: SDE-DPM-Solver++ of second order (Lu et al. 2022) on a cosine noise schedule.

diffusers' own (`CosineDPMSolverMultistepScheduler`) needs the package torchsde for its noise. The steps do not overlap,
so that the increments of its Brownian motion are independent: plain noise has the same distribution.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass
class Step:
    """Latents after a step, and the denoised latents that the network predicted in it."""

    prev_sample: Tensor
    pred_original_sample: Tensor


class CosineSolver:
    """The interface of a scheduler of diffusers, as far as `denoise` uses it.

    Args:
        config: of the published scheduler: sigma_min, sigma_max, sigma_data and solver_order.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.low, self.high = float(config.get("sigma_min", 0.3)), float(config.get("sigma_max", 500.0))
        self.data = float(config.get("sigma_data", 1.0))
        self.order = int(config.get("solver_order", 2))
        self.init_noise_sigma = math.sqrt(self.high**2 + 1)
        self.timesteps = torch.zeros(0)

    def set_timesteps(self, num_steps: int, device: torch.device | None = None) -> None:
        """Noise levels from `sigma_max` to `sigma_min`, evenly spaced in their logarithm, then 0."""
        levels = torch.linspace(math.log(self.low), math.log(self.high), num_steps).exp().flip(0)
        self.sigmas = torch.cat([levels, torch.zeros(1)])
        self.timesteps = (levels.atan() / math.pi * 2).to(device)
        self._number = 0
        self._before: Tensor | None = None

    def scale_model_input(self, latents: Tensor, time: Tensor) -> Tensor:
        """Latents at the variance that the network was trained on."""
        return latents * (1 / (self.sigmas[self._number] ** 2 + self.data**2) ** 0.5)

    def step(self, predicted: Tensor, time: Tensor, latents: Tensor, generator: Sequence[torch.Generator]) -> Step:
        """One step, from the velocity that the network predicts.

        Args:
            generator: one per row of latents; they draw on the CPU.
        """
        now, after = self.sigmas[self._number], self.sigmas[self._number + 1]
        total = now**2 + self.data**2
        denoised = self.data**2 / total * latents - now * self.data / total**0.5 * predicted
        noise = torch.stack([torch.randn(latents.shape[1:], generator=each) for each in generator]).to(latents)
        h = now.log() - after.log()  # infinite in the last step
        decay, gain = torch.exp(-h), 1 - torch.exp(-2 * h)
        updated = after / now * decay * latents + gain * denoised + after * gain.sqrt() * noise
        last = self._number == len(self.timesteps) - 1  # of first order, as the level after it is 0
        if self._before is not None and self.order > 1 and not last:
            ratio = (self.sigmas[self._number - 1].log() - now.log()) / h
            updated = updated + 0.5 * gain * (denoised - self._before) / ratio
        self._before, self._number = denoised, self._number + 1
        return Step(updated, denoised)
