"""Solvers of the flow's ordinary differential equation: functions of one signature, registered in `SAMPLERS`.

`velocity(x, t)` gives dx/dt for latents x (batch, channels, frames) at time t (a float, 1 is noise, 0 is data);
`times` falls from 1 to 0. `callback` gets a dict after every step: i (0-based), num_steps, t, x, denoised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from clapgen.registry import Registry

if TYPE_CHECKING:  # the command line lists the samplers before it loads torch
    from torch import Tensor

Velocity = Callable[["Tensor", float], "Tensor"]
Callback = Callable[[dict[str, Any]], None]

SAMPLERS: Registry[Callable[..., Tensor]] = Registry("sampler")


def timesteps(num_steps: int, shift: float = 1.0) -> list[float]:
    """num_steps + 1 times from 1 to 0; a `shift` above 1 puts more of them near the noise (Esser et al. 2024)."""
    import torch

    uniform = torch.linspace(1, 0, num_steps + 1, dtype=torch.float64, device="cpu")
    return (shift * uniform / (1 + (shift - 1) * uniform)).tolist()


def starting_at(start: float, times: Sequence[float]) -> list[float]:
    """The part of `times` (falling to 0) from `start` on."""
    return [start, *(time for time in times if time < start)]


@SAMPLERS.register("euler")
def sample_euler(velocity: Velocity, x: Tensor, times: Sequence[float], callback: Callback | None = None) -> Tensor:
    """Euler's method: one evaluation per step."""
    for i, (now, after) in enumerate(zip(times[:-1], times[1:], strict=True)):
        slope = velocity(x, now)
        denoised = x - now * slope
        x = x + (after - now) * slope
        _report(callback, i, times, x, denoised)
    return x


@SAMPLERS.register("heun")
def sample_heun(velocity: Velocity, x: Tensor, times: Sequence[float], callback: Callback | None = None) -> Tensor:
    """Heun's second-order method: two evaluations per step, one in the last."""
    for i, (now, after) in enumerate(zip(times[:-1], times[1:], strict=True)):
        slope = velocity(x, now)
        denoised = x - now * slope
        if after > 0:
            slope = (slope + velocity(x + (after - now) * slope, after)) / 2
        x = x + (after - now) * slope
        _report(callback, i, times, x, denoised)
    return x


@SAMPLERS.register("multistep")
def sample_multistep(velocity: Velocity, x: Tensor, times: Sequence[float], callback: Callback | None = None) -> Tensor:
    """Second-order Adams-Bashforth with unequal steps: one evaluation per step; reuses the slope of the step before."""
    previous: tuple[float, Tensor] | None = None
    for i, (now, after) in enumerate(zip(times[:-1], times[1:], strict=True)):
        slope = velocity(x, now)
        denoised = x - now * slope
        step = after - now
        if previous is None:
            x = x + step * slope
        else:
            ratio = step / (2 * (now - previous[0]))
            x = x + step * ((1 + ratio) * slope - ratio * previous[1])
        previous = (now, slope)
        _report(callback, i, times, x, denoised)
    return x


def _report(callback: Callback | None, i: int, times: Sequence[float], x: Tensor, denoised: Tensor) -> None:
    if callback:
        callback({"i": i, "num_steps": len(times) - 1, "t": times[i], "x": x, "denoised": denoised})
