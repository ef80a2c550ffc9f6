"""What the solver follows: the network's velocity, pushed towards the prompt, over sounds of any length."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from clapgen.audio.windows import window_starts
from generation.diffusion.model import DiffusionTransformer
from generation.diffusion.training.latents import frames_of


def guided_velocity(
    network: DiffusionTransformer,
    condition: Tensor,
    negative: Tensor,
    seconds: float,
    frame_rate: float,
    guidance_scale: float,
    dtype: torch.dtype,
) -> Callable[[Tensor, float], Tensor]:
    """Velocity of latents (batch, latent_dim, frames) at a time, as the samplers want it.

    Classifier-free guidance (Ho & Salimans 2022): away from `negative` (condition_dim,), towards `condition`
    (batch, condition_dim), by `guidance_scale`; 1 is the condition alone and half the work. A sound longer than the
    network was trained on is seen through half-overlapping windows whose velocities are blended at every step
    (MultiDiffusion, Bar-Tal et al. 2023).
    """
    guided = guidance_scale != 1.0
    conditions = torch.cat([condition, negative.expand(len(condition), -1)]) if guided else condition
    window_seconds = min(seconds, network.config.window_seconds)
    window = frames_of(window_seconds, frame_rate)
    durations = torch.full((len(conditions),), window_seconds, device=condition.device)

    def in_window(x: Tensor, time: float) -> Tensor:
        times = torch.full((len(conditions),), time, device=x.device)
        with torch.autocast(x.device.type, dtype, enabled=dtype != torch.float32):
            slope = network(torch.cat([x, x]) if guided else x, times, conditions, durations).float()
        if not guided:
            return slope
        towards, away = slope.chunk(2)
        return away + guidance_scale * (towards - away)

    def velocity(x: Tensor, time: float) -> Tensor:
        if x.shape[-1] <= window:
            return in_window(x, time)
        total, weights = torch.zeros_like(x), torch.zeros_like(x[0, 0])
        for start in window_starts(x.shape[-1], window):
            part = slice(start, start + window)
            total[..., part] += fade * in_window(x[..., part], time)
            weights[part] += fade
        return total / weights

    fade = 1 - torch.linspace(-1, 1, window + 2, device=condition.device)[1:-1].abs()  # a triangle, nowhere zero
    return velocity
