"""Seeds: every step of a run, and the initial weights of every network, have a random stream of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import torch


def step_seed(seed: int, index: int, rank: int) -> int:
    """A 63-bit seed for (run seed, index, rank); neighbouring indices give unrelated streams (splitmix64)."""
    state = (seed * 0x9E3779B97F4A7C15 + index * 0xBF58476D1CE4E5B9 + rank * 0x94D049BB133111EB) % 2**64
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) % 2**64
    return (state ^ (state >> 31)) >> 1


def seeded_random(generator: torch.Generator) -> Random:
    """Python's random numbers, seeded from torch's: many small draws cost much less."""
    return Random(int(torch.randint(2**62, (), generator=generator)))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the initialisation of new networks, without changing the caller's random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
