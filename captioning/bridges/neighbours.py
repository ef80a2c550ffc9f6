"""Exact nearest neighbours by cosine, in blocks: a memory of 50,000 sentences never makes one huge matrix."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

CELLS_PER_BLOCK = 2**25  # cosines held at once: 128 MB


def cosine_blocks(queries: Tensor, memory: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Cosines (block, rows) of queries (n, dim) with memory (rows, dim), a block of queries at a time, in float32."""
    size = max(1, CELLS_PER_BLOCK // max(1, len(memory)))
    with torch.autocast(queries.device.type, enabled=False):
        unit, others = F.normalize(queries.float(), dim=-1), F.normalize(memory.float(), dim=-1)
        for start in range(0, len(queries), size):
            block = slice(start, min(start + size, len(queries)))
            yield block, unit[block] @ others.T


def nearest_others(embeddings: Tensor, count: int) -> Tensor:
    """Places (n, k) of the k nearest others of each row of (n, dim), nearest first; k is min(count, n - 1)."""
    k = min(count, len(embeddings) - 1)
    found = torch.empty(len(embeddings), k, dtype=torch.long, device=embeddings.device)
    for block, cosines in cosine_blocks(embeddings, embeddings):
        cosines[torch.arange(len(cosines)), torch.arange(block.start, block.stop)] = -torch.inf
        found[block] = cosines.topk(k, dim=1).indices
    return found


def sample_places(count: int, size: int) -> Tensor:
    """At most `size` (0: all) places out of `count`, ascending: the same ones at every call."""
    if size == 0 or size >= count:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))[:size].sort().values


def draw_places(weights: Tensor, size: int) -> Tensor:
    """At most `size` (0: all) places of weights (n,), ascending, drawn by weight: the same ones at every call."""
    if size == 0 or size >= len(weights):
        return torch.arange(len(weights))
    # The largest of u ** (1 / weight) are a weighted sample without replacement (Efraimidis & Spirakis 2006).
    chance = -torch.empty(len(weights)).exponential_(generator=torch.Generator().manual_seed(0)) / weights
    return chance.topk(size).indices.sort().values


def first_of_each(strings: list[str]) -> tuple[Tensor, Tensor]:
    """Places (distinct,) where each string is first seen, and (n,) which of the distinct ones each string is."""
    index: dict[str, int] = {}
    first: list[int] = []
    which: list[int] = []
    for place, string in enumerate(strings):
        if string not in index:
            index[string] = len(first)
            first.append(place)
        which.append(index[string])
    return torch.tensor(first, dtype=torch.long), torch.tensor(which, dtype=torch.long)
