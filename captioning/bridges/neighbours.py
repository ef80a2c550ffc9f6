"""Exact nearest neighbours by cosine, in blocks, so that 50,000 sentences do not need one huge matrix."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

CELLS_PER_BLOCK = 2**25  # cosines in memory at once: 128 MB


def cosine_blocks(queries: Tensor, memory: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Cosines (block, rows) of queries (n, dim) with memory (rows, dim), a block of queries at a time, in float32."""
    size = max(1, CELLS_PER_BLOCK // max(1, len(memory)))
    with torch.autocast(queries.device.type, enabled=False):
        unit, others = F.normalize(queries.float(), dim=-1), F.normalize(memory.float(), dim=-1)
        for start in range(0, len(queries), size):
            block = slice(start, min(start + size, len(queries)))
            yield block, unit[block] @ others.T


def nearest_others(embeddings: Tensor, count: int) -> Tensor:
    """Indices (n, k) of the k nearest other rows of each row of (n, dim), nearest first; k is min(count, n - 1)."""
    k = min(count, len(embeddings) - 1)
    found = torch.empty(len(embeddings), k, dtype=torch.long, device=embeddings.device)
    for block, cosines in cosine_blocks(embeddings, embeddings):
        cosines[torch.arange(len(cosines)), torch.arange(block.start, block.stop)] = -torch.inf
        found[block] = cosines.topk(k, dim=1).indices
    return found


def sample_indices(count: int, size: int) -> Tensor:
    """At most `size` (0: all) of `count` indices, ascending; the same ones at every call."""
    if size == 0 or size >= count:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))[:size].sort().values


def sample_by_weight(weights: Tensor, size: int) -> Tensor:
    """At most `size` (0: all) indices of weights (n,), ascending, sampled by weight; the same ones at every call."""
    if size == 0 or size >= len(weights):
        return torch.arange(len(weights))
    # The largest of u ** (1 / weight) are a weighted sample without replacement (Efraimidis & Spirakis 2006).
    scores = -torch.empty(len(weights)).exponential_(generator=torch.Generator().manual_seed(0)) / weights
    return scores.topk(size).indices.sort().values


def unique_strings(strings: list[str]) -> tuple[Tensor, Tensor]:
    """Indices (unique,) of each string's first occurrence, and for each string (n,) its index among the unique ones."""
    index_of: dict[str, int] = {}
    first: list[int] = []
    for row, string in enumerate(strings):
        if string not in index_of:
            index_of[string] = len(first)
            first.append(row)
    index = [index_of[string] for string in strings]
    return torch.tensor(first, dtype=torch.long), torch.tensor(index, dtype=torch.long)
