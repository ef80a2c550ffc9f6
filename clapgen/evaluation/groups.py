"""Metrics for each group of clips: with the same value of a field of the manifest, or with labels of one kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from clapgen.data.manifest import Clip
from clapgen.data.splits import values_of
from clapgen.data.tables import read_table
from clapgen.data.text import label_key
from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.clap_score import bootstrap_interval
from clapgen.report.model import Metric

MOST_GROUPS = 100
TABLES = (".csv", ".tsv")


def groups_of(clips: Sequence[Clip], by: str) -> dict[str, list[int]]:
    """Indices of the clips of each group, the largest group first; a clip may be in several, or in none.

    Args:
        by: a key of the manifest, whose values (each of them, if it holds a list) are the groups; or a .csv or .tsv
            file with the columns `label` and `kind`, which puts a clip into the kinds of its labels.

    Raises:
        ClapgenError: no clip has the key or one of the labels, or there are more than 100 groups.
    """
    values = _kinds(clips, by) if by.lower().endswith(TABLES) else values_of(clips, by)
    groups: dict[str, list[int]] = {}
    for index, of_clip in enumerate(values):
        for value in of_clip:
            groups.setdefault(value, []).append(index)
    if len(groups) > MOST_GROUPS:
        raise ClapgenError(f"--by {by} makes {len(groups)} groups; choose a field with at most {MOST_GROUPS}.")
    return dict(sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])))


def _kinds(clips: Sequence[Clip], path: str) -> list[list[str]]:
    kinds: dict[str, list[str]] = {}
    for row in read_table(path, {"label": ("label",), "kind": ("kind",)}):
        kinds.setdefault(label_key(row.cells["label"]), []).append(row.cells["kind"])
    of_clips = [[kind for label in clip.labels for kind in kinds.get(label_key(label), ())] for clip in clips]
    if not any(of_clips):
        raise ClapgenError(f"no clip has one of the labels of {path}, such as '{next(iter(kinds))}'.")
    return [list(dict.fromkeys(of_clip)) for of_clip in of_clips]


def group_metrics(
    clips: Sequence[Clip], by: str, values: Mapping[str, tuple[npt.NDArray[Any], Sequence[int]]], seed: int
) -> list[Metric]:
    """The mean of each metric over the queries of each group, with its 95% interval.

    Args:
        values: metric to its values (queries,), 0 to 1, and the index of the clip that each query belongs to.

    Raises:
        ClapgenError: as `groups_of`.
    """
    metrics = []
    field = "kind" if by.lower().endswith(TABLES) else by
    for group, members in groups_of(clips, by).items():
        for name, (of_queries, owners) in values.items():
            chosen = np.asarray(of_queries, dtype=np.float64)[np.isin(owners, members)]
            if not len(chosen):
                continue
            interval = bootstrap_interval(chosen, seed=seed) if len(chosen) > 1 else None
            mean = float(chosen.mean())
            metrics.append(Metric(f"{name}, {field} {group}", mean, len(chosen), interval, "0 to 1", True))
    return metrics
