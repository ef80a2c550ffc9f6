"""Batches of sounds, limited by their number and by their total length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Sound = TypeVar("Sound")

MAX_BATCH_SECONDS = 600  # bounds memory when the sounds are long


def batches_of_sounds(
    sounds: Iterable[Sound], max_sounds: int, samples_of: Callable[[Sound], int], sample_rate: int
) -> Iterator[list[Sound]]:
    """Group consecutive sounds into lists of at most `max_sounds` and at most ten minutes in total.

    A sound longer than ten minutes gets a batch of its own.

    Args:
        samples_of: length of a sound in samples at `sample_rate` Hz.
    """
    max_samples = MAX_BATCH_SECONDS * sample_rate
    batch: list[Sound] = []
    total = 0
    for sound in sounds:
        samples = samples_of(sound)
        if batch and (len(batch) == max_sounds or total + samples > max_samples):
            yield batch
            batch, total = [], 0
        batch.append(sound)
        total += samples
    if batch:
        yield batch
