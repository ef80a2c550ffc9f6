"""What the solver follows: the network's velocity, guided towards the prompt, for sounds of any length."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clapgen.audio.windows import window_starts
from generation.diffusion.model import DiffusionTransformer


@dataclass
class GuidedVelocity:
    """Velocity of latents (batch, latent_dim, frames) at a time, called as the samplers need it.

    Classifier-free guidance (Ho & Salimans 2022): away from `negative` (condition_dim,), towards `condition`
    (batch, condition_dim), by `scale`; 1 is the condition alone and half the work. A sound longer than a window, the
    longest that the network was trained on, is processed in half-overlapping windows whose velocities are blended at
    every step (MultiDiffusion, Bar-Tal et al. 2023).
    """

    network: DiffusionTransformer
    condition: Tensor
    negative: Tensor
    scale: float
    window_seconds: float
    window_frames: int
    dtype: torch.dtype

    def __call__(self, x: Tensor, time: float) -> Tensor:
        window = self.window_frames
        if x.shape[-1] <= window:
            return self._in_window(x, time)
        fade = 1 - torch.linspace(-1, 1, window + 2, device=x.device)[1:-1].abs()  # a triangle, zero nowhere
        total, weights = torch.zeros_like(x), torch.zeros_like(x[0, 0])
        for start in window_starts(x.shape[-1], window):
            part = slice(start, start + window)
            total[..., part] += fade * self._in_window(x[..., part], time)
            weights[part] += fade
        return total / weights

    def _in_window(self, x: Tensor, time: float) -> Tensor:
        if self.scale == 1.0:
            return self._predict(x, time, self.condition)
        conditions = torch.cat([self.condition, self.negative.expand(len(self.condition), -1)])
        towards, away = self._predict(torch.cat([x, x]), time, conditions).chunk(2)
        return away + self.scale * (towards - away)

    def _predict(self, x: Tensor, time: float, conditions: Tensor) -> Tensor:
        times = torch.full((len(x),), time, device=x.device)
        durations = torch.full((len(x),), self.window_seconds, device=x.device)
        with torch.autocast(x.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.network(x, times, conditions, durations).float()
