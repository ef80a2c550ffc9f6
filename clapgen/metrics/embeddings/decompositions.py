"""Eigenvalues and singular values on one thread: what is so small gains nothing by two, and may lose a hundredfold.

The threads of numpy's library wait for one another at every step; where another process wants a core, decomposing 256
dimensions takes a second instead of 8 ms. torch lets us say how many there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from clapgen.metrics.embeddings.base import Array


def eigen_decomposition(symmetric: Array) -> tuple[Array, Array]:
    """Eigenvalues (n,), rising, and eigenvectors (n, n), a column each, of a symmetric matrix (n, n)."""
    with _one_thread():
        values, vectors = torch.linalg.eigh(torch.from_numpy(symmetric))
    return values.numpy(), vectors.numpy()


def singular_values(matrix: Array) -> Array:
    """Singular values (min(n, m),), falling, of a matrix (n, m)."""
    with _one_thread():
        return torch.linalg.svdvals(torch.from_numpy(matrix)).numpy()


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
