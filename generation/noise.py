"""Gaussian noise from seeds of any size, drawn on the CPU, so that a seed is the same sound on every device."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

NOISE_BLOCK = 1 << 16  # samples; the unit in which a stream of noise is drawn


def gaussian(shape: Sequence[int], seed: int) -> Tensor:
    """Noise of a shape, float32. Seeds that differ give different noise, however large they are (0 or more)."""
    if seed < 2**32:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32, device="cpu")
    # torch's generator on the CPU reads only the lowest 32 bits of a seed.
    drawn = np.random.default_rng(seed).standard_normal(tuple(shape), dtype=np.float32)
    return torch.from_numpy(drawn)


def noise_stream(seed: int, start: int, length: int) -> NDArray[np.float32]:
    """Samples `start` to `start + length` of the infinite stream of white noise that belongs to `seed`."""
    first, last = start // NOISE_BLOCK, (start + length - 1) // NOISE_BLOCK
    blocks = [
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(block,))).standard_normal(
            NOISE_BLOCK, dtype=np.float32
        )
        for block in range(first, last + 1)
    ]
    return np.concatenate(blocks)[start - first * NOISE_BLOCK :][:length]


def seed_of_item(prompt: str, seed: int) -> int:
    """The seed of an item's noise in the decoder: another for each prompt, so that layered sounds do not share it."""
    return _digest(f"{seed} {prompt}".encode())


def seed_of_waveform(waveform: Tensor) -> int:
    """The seed of a reconstruction's noise: another for each sound (samples,)."""
    return _digest(waveform.detach().float().cpu().numpy().tobytes())


def _digest(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
