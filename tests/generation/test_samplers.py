"""Samplers: order of convergence on a known equation, and what the callback gets."""

import math

import pytest
import torch

from clapgen.errors import ClapgenError
from generation.diffusion.samplers import SAMPLERS, timesteps


def error_of(name: str, num_steps: int) -> float:
    """dx/dt = x cos(t) from t = 1 to 0 has the solution x(0) = x(1) exp(sin 0 - sin 1)."""
    x = torch.ones(1, 1, 1, dtype=torch.float64)
    result = SAMPLERS.get(name)(lambda x, t: x * math.cos(t), x, timesteps(num_steps))
    return abs(float(result) - math.exp(-math.sin(1.0)))


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("heun", 2), ("multistep", 2)])
def test_the_error_falls_with_the_order(name, order):
    ratio = error_of(name, 40) / error_of(name, 80)
    assert 2**order * 0.8 < ratio < 2**order * 1.3


def test_multistep_follows_a_velocity_that_is_linear_in_time_with_unequal_steps():
    times = [1.0, 1 - 1e-9, 0.9, 0.4, 0.3, 0.0]  # the first step is Euler's and therefore tiny
    x = torch.zeros(1, 1, 1, dtype=torch.float64)
    solved = SAMPLERS.get("multistep")(lambda x, t: torch.full_like(x, 3 + 4 * t), x, times)
    assert float(solved) == pytest.approx(-5)


@pytest.mark.parametrize("name", SAMPLERS.names())
def test_a_straight_flow_needs_one_step(name):
    noise, data = torch.randn(2, 2, 3, 4, generator=torch.Generator().manual_seed(0)).unbind()
    assert torch.allclose(SAMPLERS.get(name)(lambda x, t: noise - data, noise, timesteps(1)), data, atol=1e-6)


def test_the_callback_gets_every_step_and_an_estimate_of_the_clean_latents():
    seen = []
    noise, data = torch.randn(2, 1, 3, 4, generator=torch.Generator().manual_seed(0)).unbind()
    SAMPLERS.get("euler")(lambda x, t: noise - data, noise, timesteps(4), seen.append)
    assert [step["i"] for step in seen] == [0, 1, 2, 3] and {step["num_steps"] for step in seen} == {4}
    assert all(torch.allclose(step["denoised"], data, atol=1e-6) for step in seen)


def test_times_fall_from_one_to_zero_and_a_shift_puts_more_of_them_near_the_noise():
    plain, shifted = timesteps(10), timesteps(10, shift=3.0)
    assert plain[0] == shifted[0] == 1.0 and plain[-1] == shifted[-1] == 0.0
    assert all(s > p for p, s in zip(plain[1:-1], shifted[1:-1], strict=True))


def test_an_unknown_sampler_names_the_nearest():
    with pytest.raises(ClapgenError, match="heun"):
        SAMPLERS.get("huen")


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_multistep_is_exact_for_a_slope_that_is_linear_in_time_after_its_first_step(shift):
    """Also where steps are unequal: with dx/dt = t, only the first step, which is Euler's, has an error."""
    times = timesteps(7, shift)
    x = torch.ones(1, 1, 1, dtype=torch.float64)
    result = float(SAMPLERS.get("multistep")(lambda x, t: torch.full_like(x, t), x, times))
    error_of_first = (times[1] - 1.0) - (times[1] ** 2 - 1.0) / 2
    assert result == pytest.approx(1 - 1 / 2 + error_of_first, abs=1e-12)
