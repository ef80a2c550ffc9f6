"""Guided velocities: the formula of classifier-free guidance, and windows that are blended without a seam."""

import pytest
import torch
from torch import Tensor

from generation.diffusion.context import Neighbours
from generation.diffusion.guidance import GuidedVelocity, classifier_free

WINDOW = 16


def guided(network, scale: float = 1.0, condition: float = 2.0, negative: float = 1.0) -> GuidedVelocity:
    conditions = torch.full((1, 3), condition), torch.full((3,), negative)
    return GuidedVelocity(network, *classifier_free(*conditions, scale), 1.0, WINDOW, torch.float32)


def condition_everywhere(x: Tensor, times: Tensor, conditions: Tensor, durations: Tensor) -> Tensor:
    return conditions.mean(1)[:, None, None].expand_as(x)


def start_of_window(x: Tensor, times: Tensor, conditions: Tensor, durations: Tensor) -> Tensor:
    return x[..., :1].expand_as(x)


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_guidance_goes_from_the_negative_towards_the_condition_by_its_scale(scale: float) -> None:
    velocity = guided(condition_everywhere, scale)(torch.zeros(1, 2, WINDOW), 0.5)
    torch.testing.assert_close(velocity, torch.full((1, 2, WINDOW), 1 + scale * (2 - 1)))


def counted(x: Tensor, times: Tensor, conditions: Tensor, durations: Tensor, neighbours: Neighbours) -> Tensor:
    """The condition, plus ten times the number of neighbours that count."""
    return (conditions.mean(1) + 10 * neighbours.mask.sum(1))[:, None, None].expand_as(x)


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("neighbour_scale", [1.0, 1.5])
def test_neighbours_are_guided_towards_by_a_scale_of_their_own(scale: float, neighbour_scale: float) -> None:
    one = torch.ones(1, 2, 3)
    neighbours = Neighbours(one, one, torch.ones(1, 2, 4, 3), torch.ones(1, 2, dtype=torch.bool))
    terms = classifier_free(torch.full((1, 3), 2.0), torch.full((3,), 1.0), scale, neighbours, neighbour_scale)
    velocity = GuidedVelocity(counted, *terms, 1.0, WINDOW, torch.float32)(torch.zeros(1, 2, WINDOW), 0.5)
    torch.testing.assert_close(velocity, torch.full((1, 2, WINDOW), 1 + scale * (2 - 1) + neighbour_scale * 20))


def test_windows_fade_into_each_other() -> None:
    """Each window's velocity is its own start: where two overlap, one gives way to the other by a straight line."""
    frames = torch.arange(2 * WINDOW - WINDOW // 2, dtype=torch.float32)
    velocity = guided(start_of_window)(frames[None, None], 0.5)[0, 0]
    half = WINDOW // 2
    torch.testing.assert_close(velocity[:half], torch.zeros(half))
    torch.testing.assert_close(velocity[WINDOW:], torch.full((half,), float(half)))
    shares = velocity[half:WINDOW] / half
    assert (shares.diff() > 0).all()
    assert float(shares[0]) < 0.2 and float(shares[-1]) > 0.8
    torch.testing.assert_close(shares + shares.flip(0), torch.ones(half))


def test_a_velocity_that_all_windows_agree_on_is_not_changed_by_blending() -> None:
    x = torch.zeros(1, 2, 5 * WINDOW + 3)
    torch.testing.assert_close(guided(condition_everywhere)(x, 0.5), torch.full_like(x, 2.0))
