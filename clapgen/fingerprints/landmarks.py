"""Landmarks: peaks of the spectrogram, and hashes of pairs of them, after Wang (2003), "An Industrial-Strength Audio
Search Algorithm"."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clapgen.fingerprints.spectrum import BLOCK, FLOOR, Array

FIRST_BIN, LAST_BIN = 4, 448  # 63 Hz to 7 kHz
BINS = LAST_BIN - FIRST_BIN
TIME_REACH, BIN_REACH = 2, 4  # a peak is the loudest bin within 32 ms and 63 Hz to each side
PEAKS_PER_BLOCK = 15  # the loudest; 59 per second
HASH_BITS = 24
_LARGEST_STEP = 60  # bins between the peaks of a pair
_LONGEST_STEP = 40  # frames between them, 0.64 s
_LATER_PEAKS = 30  # of those that follow a peak in time, how many are considered as its partner

Integers = NDArray[np.int64]


def find_peaks(power: Array, first: int, count: int) -> tuple[Integers, Integers, Array]:
    """Peaks in the `count` frames from frame `first` on: frame (from `first`), bin (from `FIRST_BIN`) and log power.

    Args:
        power: `(frames, bins)`; `TIME_REACH` frames around the searched ones where the sound has them.
    """
    log_power = np.log(power[:, FIRST_BIN:LAST_BIN] + np.float32(FLOOR))
    loudest = _running_maximum(_running_maximum(log_power, TIME_REACH).T, BIN_REACH).T
    found = (log_power == loudest) & (log_power > np.log(2 * FLOOR))
    frames, bins = np.nonzero(found[first : first + count])
    levels = log_power[first + frames, bins]
    blocks = frames // BLOCK
    order = np.lexsort((-levels, blocks))
    rank = np.arange(len(order)) - np.searchsorted(blocks[order], blocks[order])
    kept = np.sort(order[rank < PEAKS_PER_BLOCK])
    return frames[kept], bins[kept], levels[kept]


def pair_hashes(frames: Integers, bins: Integers, partners: int) -> tuple[Integers, Integers]:
    """Frame and hash, below 2**HASH_BITS, of each pair of a peak with the `partners` next ones near its frequency.

    Args:
        frames, bins: of the peaks, in the order of time.
    """
    firsts, hashes = [], []
    for ahead in range(1, min(_LATER_PEAKS, len(frames) - 1) + 1):
        later, higher = frames[ahead:] - frames[:-ahead], bins[ahead:] - bins[:-ahead]
        first = np.flatnonzero((later <= _LONGEST_STEP) & (np.abs(higher) <= _LARGEST_STEP))
        step = higher[first] + _LARGEST_STEP  # below 2**7
        firsts.append(first)
        hashes.append(bins[first] << 15 | step << 8 | later[first])
    if not firsts:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    first, hashed = np.concatenate(firsts), np.concatenate(hashes)
    order = np.argsort(first, kind="stable")
    first, hashed = first[order], hashed[order]
    rank = np.arange(len(first)) - np.searchsorted(first, first)
    return frames[first[rank < partners]], hashed[rank < partners]


def _running_maximum(values: Array, reach: int) -> Array:
    """The largest of each value and the `reach` ones before and after it along the first axis."""
    width, covered = 2 * reach + 1, 1
    maximum = np.pad(values, ((reach, reach), (0, 0)), constant_values=-np.inf)
    while 2 * covered <= width:
        maximum = np.maximum(maximum[:-covered], maximum[covered:])
        covered *= 2
    rest = width - covered
    return np.maximum(maximum[: len(values)], maximum[rest : rest + len(values)])
