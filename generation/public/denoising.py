"""The loop of a latent diffusion model with a scheduler of diffusers and classifier-free guidance."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from generation.generator import Callback
from generation.noise import gaussian

Predict = Callable[[Tensor, Tensor, bool], Tensor]  # (latents, time, guided): with both conditions, the empty one first


def noise_of(shape: Sequence[int], seeds: Sequence[int]) -> Tensor:
    """Noise (seeds, *shape) float32, drawn on the CPU, so that a seed is the same sound on every device."""
    return torch.stack([gaussian(shape, seed) for seed in seeds])


def denoise(
    scheduler: Any,
    predict: Predict,
    noise: Tensor,
    num_steps: int,
    guidance_scale: float,
    seeds: Sequence[int],
    callback: Callback | None = None,
) -> Tensor:
    """Latents of the shape of `noise` (batch, ...).

    Args:
        scheduler: of diffusers; its own settings decide times, noise levels and the update.
        predict: what the network predicts for latents (batch or twice the batch, ...) at a time. When guided, the
            first half is for the condition to guide away from.
        guidance_scale: 1 is no guidance, as everywhere in clapgen (diffusers has none below 1 either).
        seeds: one per row, for schedulers that draw noise in each step.
        callback: called after every step with i, num_steps, t, x and denoised (None if the scheduler does not tell).
    """
    scheduler.set_timesteps(num_steps, device=noise.device)
    guided = guidance_scale != 1.0
    latents = noise * scheduler.init_noise_sigma
    extra: dict[str, Any] = {}
    if "generator" in inspect.signature(scheduler.step).parameters:
        extra["generator"] = [torch.Generator().manual_seed(seed_of_steps(seed)) for seed in seeds]
    times = scheduler.timesteps
    for number, time in enumerate(times):
        doubled = scheduler.scale_model_input(torch.cat([latents] * 2) if guided else latents, time)
        predicted = predict(doubled, time, guided)
        if guided:
            empty, prompted = predicted.chunk(2)
            predicted = empty + guidance_scale * (prompted - empty)
        step = scheduler.step(predicted, time, latents, **extra)
        latents = step.prev_sample
        if callback is not None:
            denoised = getattr(step, "pred_original_sample", None)
            done = number * num_steps // len(times)  # some schedulers call the network twice in a step
            callback({"i": done, "num_steps": num_steps, "t": time, "x": latents, "denoised": denoised})
    return latents


def seed_of_steps(seed: int) -> int:
    """Another seed than that of the initial noise: 63 bits of a hash."""
    return int.from_bytes(hashlib.blake2b(f"steps {seed}".encode(), digest_size=8).digest(), "little") >> 1
