"""Sub-band bits: whether the difference between neighbouring bands rises or falls, after Haitsma & Kalker (2002), "A
Highly Robust Audio Fingerprinting System"; and how strongly two rows of them speak for one recording."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from clapgen.fingerprints.spectrum import BLOCK, FLOOR, RATE, WINDOW, Array

BANDS = 32  # bits per frame
LAG = 4  # frames between which a difference rises or falls; one window
TILES = 8  # groups of bands in a block; a tile is 4 bands by 16 frames
_LOWEST, _HIGHEST = 100.0, 7000.0  # Hz
_AGREEMENT = 0.8  # of the bits in a tile that survived; 0.5 in all others
_INDEPENDENT = 1 / 3  # of the bits: neighbouring frames overlap
_SURVIVING = 0.5  # of the tiles: noise covers the quiet ones

Words = NDArray[np.uint32]
Masks = NDArray[np.uint8]
Evidence = NDArray[np.float64]


def _band_weights() -> Array:
    edges = np.geomspace(_LOWEST, _HIGHEST, BANDS + 2) / RATE * WINDOW
    bins = np.arange(WINDOW // 2 + 1)[:, None]
    inside = np.minimum(bins + 0.5, edges[1:]) - np.maximum(bins - 0.5, edges[:-1])
    return inside.clip(0, 1).astype(np.float32)


_WEIGHTS = _band_weights()


def band_bits(power: Array, first: int, count: int) -> tuple[Words, Array]:
    """Words `(count,)` of 32 bits for the frames from `first` on, and the log power `(count, TILES)` in each tile.

    Args:
        power: `(frames, bins)`; `LAG` frames before the first one where the sound has them.
    """
    in_band = power @ _WEIGHTS
    slope = in_band[:, :-1] - in_band[:, 1:]  # not of logarithms: what noise does to the quieter band would decide
    before = np.maximum(np.arange(first, first + count) - LAG, 0)
    rises = slope[first : first + count] > slope[before]
    words = np.packbits(rises, axis=1, bitorder="little").view("<u4")[:, 0]
    loudest = in_band[first : first + count, :-1].reshape(count, TILES, -1).max(axis=2)
    return words, np.log(loudest + np.float32(FLOOR))


def evidence_per_block(words: Words, masks: Masks, other: Words, other_masks: Masks) -> Evidence:
    """Log-likelihood ratio `(blocks,)` that two rows of frames are of one recording rather than of two.

    Every tile either survived, and most of its bits agree, or it says nothing. Tiles that are silent in one of the two
    are left out. A band counts for less the more constant its bits are in either of the two: those of every tone that
    fades away are equal.

    Args:
        words: `(frames,)`, masks: `(frames,)`, bit g set where tile g is not silent; the others' likewise.
    """
    sounding = np.repeat(_unpacked(masks & other_masks), BANDS // TILES, axis=1)
    bits, other_bits = _unpacked(words) & sounding, _unpacked(other) & sounding
    frames, ones, other_ones, different = map(_per_block, (sounding, bits, other_bits, bits ^ other_bits))
    agree, disagree = math.log(_AGREEMENT / 0.5), math.log((1 - _AGREEMENT) / 0.5)
    varied = np.sqrt(ones * (frames - ones) * other_ones * (frames - other_ones)) / np.maximum(frames, 1) ** 2
    ratio = 4 * varied * _INDEPENDENT * ((frames - different) * agree + different * disagree)
    tiles = ratio.reshape(-1, TILES, BANDS // TILES).sum(axis=2)
    survived = np.logaddexp(math.log(1 - _SURVIVING), math.log(_SURVIVING) + tiles)
    return np.asarray(survived.sum(axis=1), dtype=np.float64)


def _unpacked(rows: NDArray[np.unsignedinteger]) -> NDArray[np.uint8]:
    """`(frames, bits)` of `(frames,)`."""
    contents = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    return np.unpackbits(contents, axis=1, bitorder="little")


def _per_block(bits: NDArray[np.uint8]) -> Array:
    padded = np.pad(bits, ((0, -len(bits) % BLOCK), (0, 0)))
    return padded.reshape(-1, BLOCK, bits.shape[1]).sum(axis=1, dtype=np.uint8).astype(np.float32)
