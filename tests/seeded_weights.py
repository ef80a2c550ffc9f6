"""Weights that are a function of their name and shape, to compare with originals that ran somewhere else."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FIXTURES = Path(__file__).parent / "embedders" / "originals"

# Tensors that a network computes for itself, and what computes spectrograms: never drawn.
COMPUTED = ("spectrogram_extractor", "logmel_extractor", "attn_mask", "position_index", "position_ids", "num_batches")


def is_computed(name: str) -> bool:
    return any(part in name for part in COMPUTED)


def seeded(name: str, shape: list[int]) -> Tensor:
    """Normal numbers of a size that keeps signals of a network near 1; norms near 1; variances positive."""
    drawn = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    if name.endswith("running_var"):
        values = 0.5 + np.abs(drawn)
    elif name.endswith("weight") and len(shape) > 1:
        values = drawn * np.float32(1.5 / np.sqrt(np.prod(shape[1:])))
    elif name.endswith("weight"):
        values = 1 + 0.2 * drawn
    else:
        values = 0.2 * drawn
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def seeded_state(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """All tensors of a checkpoint; those that a network computes for itself are zeros."""
    return {name: torch.zeros(shape) if is_computed(name) else seeded(name, shape) for name, shape in shapes.items()}


def original(name: str) -> dict[str, Any]:
    """The shapes of a checkpoint, its settings, and what the original code gives for it."""
    return json.loads((FIXTURES / f"{name}.json").read_text())


def sound(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """A seeded chord in noise, of changing loudness."""
    time = np.arange(round(seconds * rate)) / rate
    chord = sum(np.sin(2 * np.pi * hertz * time + seed) for hertz in (220.0, 587.3, 2637.0 + 200 * seed))
    noise = np.random.default_rng(seed).standard_normal(len(time))
    return ((0.1 * chord + 0.05 * noise) * (0.6 + 0.4 * np.sin(5 * time))).astype(np.float32)
