"""Sample rates: sets that were recorded at different rates are brought down to the lowest before they are compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clapgen.embedders.file_identity import SoundFile


@dataclass(frozen=True)
class RatePolicy:
    """`band_limit`: Hz to which every file is brought down before embedding, None where that would change nothing.

    `summary` says the rates of each set, `warning` what was bridged, "" if nothing.
    """

    band_limit: int | None
    summary: str
    warning: str


def rate_policy(sets: Mapping[str, Sequence[SoundFile]], highest_rate: int) -> RatePolicy:
    """How sets of files may be compared by models of which the best hears `highest_rate` Hz.

    A file of 16 kHz holds nothing above 8 kHz, and a distance to one of 44.1 kHz would measure that. Above
    `highest_rate` differences are not heard.
    """
    counts = {name: Counter(file.sample_rate for file in files) for name, files in sets.items()}
    summary = "; ".join(f"{name}: {_counted(rates)}" for name, rates in counts.items() if rates)
    heard = {min(rate, highest_rate) for rates in counts.values() for rate in rates}
    if len(heard) < 2:
        return RatePolicy(None, summary, "")
    limit = min(heard)
    low = ", ".join(f"{rates[limit]} of {rates.total()} {name} files" for name, rates in counts.items() if rates[limit])
    return RatePolicy(
        limit,
        summary,
        f"Sample rates differ ({summary}): all files were brought down to {limit} Hz, the lowest ({low}), before they "
        "were embedded.",
    )


def _counted(rates: Counter[int]) -> str:
    return ", ".join(f"{rate} Hz × {count}" for rate, count in sorted(rates.items()))
