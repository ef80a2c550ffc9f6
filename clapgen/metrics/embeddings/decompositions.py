"""Eigenvalues and singular values on one thread, since small matrices gain nothing from several.

numpy's linear algebra threads wait for each other at every step: on a busy machine, decomposing 256 dimensions takes a
second instead of 8 ms. torch lets us set the number of threads.
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
