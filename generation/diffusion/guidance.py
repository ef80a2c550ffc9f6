"""What the solver follows: the network's velocity, guided towards the prompt, for sounds of any length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from clapgen.audio.windows import window_starts
from generation.diffusion.context import Neighbours
from generation.diffusion.model import DiffusionTransformer


@dataclass(frozen=True, eq=False)
class Conditions:
    """What the network is told: embeddings (batch, condition_dim), and the neighbours of each item or none."""

    embedding: Tensor
    neighbours: Neighbours | None = None


@dataclass(frozen=True, eq=False)
class Guide:
    """A term of guidance: `scale` times the way from the velocity under `away` to that under `towards`."""

    scale: float
    towards: Conditions
    away: Conditions


def classifier_free(
    condition: Tensor,
    negative: Tensor,
    scale: float,
    neighbours: Neighbours | None = None,
    neighbour_scale: float = 1.0,
) -> tuple[Conditions, list[Guide]]:
    """Classifier-free guidance (Ho & Salimans 2022): from `negative` (condition_dim,) towards `condition`
    (batch, condition_dim), by `scale`; 1 is the condition alone and half the work. From there towards the same with
    neighbours, by `neighbour_scale`, as each condition has a scale of its own (Brooks et al. 2023)."""
    wanted = Conditions(condition)
    base, guides = wanted, []
    if scale != 1.0:
        base = Conditions(negative.expand(len(condition), -1))
        guides = [Guide(scale, wanted, base)]
    if neighbours is not None and neighbour_scale:
        guides.append(Guide(neighbour_scale, Conditions(condition, neighbours), wanted))
    return base, guides


@dataclass
class GuidedVelocity:
    """Velocity of latents (batch, latent_dim, frames) at a time, called as the samplers need it.

    It is the velocity under `base` plus what each of `guides` adds; conditions that occur several times are evaluated
    once, and all in one batch. A sound longer than a window, the longest that the network was trained on, is processed
    in half-overlapping windows whose velocities are blended at every step (MultiDiffusion, Bar-Tal et al. 2023).
    """

    network: DiffusionTransformer
    base: Conditions
    guides: Sequence[Guide]
    window_seconds: float
    window_frames: int
    dtype: torch.dtype
    _distinct: list[Conditions] = field(init=False)

    def __post_init__(self) -> None:
        named = [each for guide in self.guides for each in (guide.towards, guide.away)]
        self._distinct = list({id(each): each for each in [*named, self.base]}.values())

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
        predicted = self._predict(torch.cat([x] * len(self._distinct)), time).chunk(len(self._distinct))
        under = {id(each): velocity for each, velocity in zip(self._distinct, predicted, strict=True)}
        velocity = under[id(self.base)]
        for guide in self.guides:
            velocity = velocity + guide.scale * (under[id(guide.towards)] - under[id(guide.away)])
        return velocity

    def _predict(self, x: Tensor, time: float) -> Tensor:
        times = torch.full((len(x),), time, device=x.device)
        durations = torch.full((len(x),), self.window_seconds, device=x.device)
        embeddings = torch.cat([each.embedding for each in self._distinct])
        shown = next((each.neighbours for each in self._distinct if each.neighbours is not None), None)
        more = {}
        if shown is not None:
            none = shown.hidden()
            more = {"neighbours": Neighbours.joined([each.neighbours or none for each in self._distinct])}
        with torch.autocast(x.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.network(x, times, embeddings, durations, **more).float()
