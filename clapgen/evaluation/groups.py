"""Metrics for each group of clips: those with the same value of a field of the manifest, such as their source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from clapgen.data.manifest import Clip
from clapgen.data.splits import values_of
from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.clap_score import bootstrap_interval
from clapgen.report.model import Metric

MOST_GROUPS = 100


def groups_of(clips: Sequence[Clip], field: str) -> dict[str, list[int]]:
    """Indices of the clips with each value of `field`, the largest group first; a list puts a clip into several.

    Clips without a value are in no group.

    Raises:
        ClapgenError: no clip has the field, or it has more than 100 values.
    """
    groups: dict[str, list[int]] = {}
    for index, values in enumerate(values_of(clips, field)):
        for value in values:
            groups.setdefault(value, []).append(index)
    if len(groups) > MOST_GROUPS:
        raise ClapgenError(f"--by {field} makes {len(groups)} groups; choose a field with at most {MOST_GROUPS}.")
    return dict(sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])))


def group_metrics(
    clips: Sequence[Clip], field: str, values: Mapping[str, tuple[npt.NDArray[Any], Sequence[int]]], seed: int
) -> list[Metric]:
    """The mean of each metric over the queries of each group, with its 95% interval.

    Args:
        values: metric to its values (queries,), 0 to 1, and the index of the clip that each query belongs to.

    Raises:
        ClapgenError: as `groups_of`.
    """
    metrics = []
    for group, members in groups_of(clips, field).items():
        for name, (of_queries, owners) in values.items():
            chosen = np.asarray(of_queries, dtype=np.float64)[np.isin(owners, members)]
            if not len(chosen):
                continue
            interval = bootstrap_interval(chosen, seed=seed) if len(chosen) > 1 else None
            mean = float(chosen.mean())
            metrics.append(Metric(f"{name}, {field} {group}", mean, len(chosen), interval, "0 to 1", True))
    return metrics
