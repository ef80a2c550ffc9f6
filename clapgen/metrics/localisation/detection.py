"""A PSDS-like measure: how many events are found at how many false alarms an hour, over all thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from clapgen.metrics.embeddings.base import NotMeasurable
from clapgen.metrics.localisation.segments import Counts

MOST_FALSE_PER_HOUR = 100.0


def detection_area(
    counts: Mapping[str, Sequence[Counts]],
    hours: Mapping[str, float],
    most_false_per_hour: float = MOST_FALSE_PER_HOUR,
) -> float:
    """Area under the mean curve of events found over false alarms an hour, 0 to 1 (after PSDS, Bilen et al. 2020).

    For each query and each rate of false alarms e, the share of its events found is the highest of any threshold with
    at most e false detections in an hour of sound in which the query was asked. These curves are averaged over the
    queries that have events, and the area from 0 to `most_false_per_hour` is divided by its width. That is PSDS
    without the cost of cross-triggers (α_CT = 0) and of unevenness among classes (α_ST = 0); it differs in that a
    query is asked in some sounds, not in all.

    Args:
        counts: for each query, the counts at each threshold, such as those of `intersection_counts`.
        hours: for each query, hours of sound in which it was asked.

    Raises:
        NotMeasurable: no query has an event.
    """
    areas = [
        _area(own, hours[query], most_false_per_hour) for query, own in counts.items() if own and own[0].references
    ]
    if not areas:
        raise NotMeasurable("No query has an event to find.")
    return float(np.mean(areas))


def _area(counts: Sequence[Counts], hours: float, most: float) -> float:
    """Of one query: the mean over rates from 0 to `most` of the highest share found at that rate or below."""
    points = sorted((each.false / hours, each.hits / each.references) for each in counts)
    area, best, at = 0.0, 0.0, 0.0
    for rate, share in points:
        if rate > most:
            break
        area += best * (rate - at)
        best, at = max(best, share), rate
    return (area + best * (most - at)) / most
