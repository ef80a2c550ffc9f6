"""Random choices that are a pure function of a torch.Generator, and cheap enough to make by the dozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch

from clapgen.training.seeds import seeded_random

T = TypeVar("T")


class Draws:
    """Choices from one number of a `torch.Generator`. Only `Random.random` is used: it is the same in every Python."""

    def __init__(self, generator: torch.Generator) -> None:
        self.share = seeded_random(generator).random  # in [0, 1)

    def between(self, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return low + (high - low) * self.share()

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.share() < probability

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[int(self.share() * len(items))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in random order."""
        return [item for _, item in sorted(((self.share(), item) for item in items), key=lambda pair: pair[0])]
