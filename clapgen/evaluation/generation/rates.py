"""Sample rates: sets with different rates are downsampled to the lowest before they are compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clapgen.embedders.file_identity import SoundFile


@dataclass(frozen=True)
class RatePolicy:
    """How to make sets of files comparable.

    Attributes:
        band_limit: sample rate (Hz) that every file is downsampled to before embedding; None if none needs it.
        summary: the rates of each set.
        warning: about what differs; "" if nothing does.
    """

    band_limit: int | None
    summary: str
    warning: str


def rate_policy(sets: Mapping[str, Sequence[SoundFile]], highest_rate: int) -> RatePolicy:
    """The policy for sets of files and models whose highest sample rate is `highest_rate` Hz.

    A 16 kHz file has no content above 8 kHz, and its distance to a 44.1 kHz file would measure just that. Differences
    above `highest_rate` do not matter, because the models resample to it.
    """
    counts = {name: Counter(file.sample_rate for file in files) for name, files in sets.items()}
    summary = "; ".join(f"{name}: {_counted(rates)}" for name, rates in counts.items() if rates)
    effective = {min(rate, highest_rate) for rates in counts.values() for rate in rates}
    if len(effective) < 2:
        return RatePolicy(None, summary, "")
    limit = min(effective)
    low = ", ".join(f"{rates[limit]} of {rates.total()} {name} files" for name, rates in counts.items() if rates[limit])
    return RatePolicy(
        limit,
        summary,
        f"Sample rates differ ({summary}): all files were downsampled to {limit} Hz, the lowest ({low}), before "
        "embedding.",
    )


def _counted(rates: Counter[int]) -> str:
    return ", ".join(f"{rate} Hz × {count}" for rate, count in sorted(rates.items()))
