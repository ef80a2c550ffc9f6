"""The result of one evaluation: metrics, how they were measured, and the files that were skipped."""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, TypeGuard, cast

from clapgen.errors import ClapgenError, nearest

Row = dict[str, str | float | int | None]


@dataclass
class Metric:
    """One number of a report.

    Attributes:
        name: such as "CLAP score".
        value: None if it could not be computed; `note` then explains why.
        n: the number of clips, pairs or sentences it was computed from.
        interval: lower and upper end of the 95% interval.
        scale: range or unit, such as "0 to 1" or "× 100".
        higher_is_better: None if neither direction is better.
        note: a remark, such as the direction of a divergence.
    """

    name: str
    value: float | None
    n: int
    interval: tuple[float, float] | None = None
    scale: str = ""
    higher_is_better: bool | None = None
    note: str = ""


@dataclass
class Skipped:
    """A file that could not be used, with the reason."""

    path: str
    reason: str


@dataclass
class Confusion:
    """How often the class of a row (the truth) was predicted as the class of a column."""

    labels: list[str]
    counts: list[list[int]]


@dataclass
class Report:
    """The results of one evaluation.

    Attributes:
        kind: which evaluation: "generation", "retrieval", "zero-shot", "captions", "composition" or
            "localisation".
        title: one line for the head of a page.
        metrics: the numbers.
        clips: one row per clip, all with the same keys; the first is "path".
        classes: one row per class, all with the same keys; the first is "class".
        confusion: for classification.
        settings: everything the metrics depend on: model name and hash, window policy, sample rates, templates, …
        warnings: what a reader must know before using the metrics.
        skipped: the files that could not be used.
        seconds: how long the evaluation took.
        command: the command line, or the call.
        versions: of Python and the packages used.
        date: ISO 8601.
        lower_is_better: numeric columns of `clips` and `classes` where lower values are better.
        sounds: the files that the user gave as input: only these may be played on a page, not those that the cells of a
            table happen to name. Not part of `to_dict`.
    """

    kind: str
    title: str
    metrics: list[Metric]
    clips: list[Row] = field(default_factory=list)
    classes: list[Row] = field(default_factory=list)
    confusion: Confusion | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    seconds: float = 0.0
    command: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    date: str = ""
    lower_is_better: list[str] = field(default_factory=list)
    sounds: Collection[str] = field(default=frozenset(), repr=False)

    def ranked_clips(self, column: str | None = None) -> list[Row]:
        """The clips that have a number in `column` (default: the first numeric column), worst first.

        Raises:
            ClapgenError: `column` is not a numeric column.
        """
        columns = numeric_columns(self.clips)
        if column is not None and column not in columns:
            choices = ", ".join(columns) or "none"
            raise ClapgenError(
                f"cannot rank clips by '{column}'; numeric columns: {choices}.{nearest(column, columns)}"
            )
        column = column or next(iter(columns), None)
        return _worst_first(self.clips, column, self.lower_is_better)

    def ranked_classes(self) -> list[Row]:
        """All classes, worst first by `class_metric`; in the given order if there is none."""
        column = class_metric(self.classes)
        ranked = _worst_first(self.classes, column, self.lower_is_better)
        return ranked + [row for row in self.classes if column is None or not is_number(row.get(column))]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values; NaN and infinity become None, with a note at the metric."""
        report = json_safe(dataclasses.replace(self, metrics=[finite(metric) for metric in self.metrics], sounds=()))
        return {name: value for name, value in report.items() if name != "sounds"}


def numeric_columns(rows: Sequence[Row]) -> list[str]:
    """Names of the columns that hold only numbers or None, with at least one finite number."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows if row.get(name) is not None] for name in names}
    return [
        name
        for name, values in columns.items()
        if any(map(is_number, values)) and all(isinstance(value, Real) for value in values)
    ]


def finite_values(rows: Sequence[Row], column: str) -> list[float]:
    """The finite numbers of a column, in order."""
    return [float(value) for row in rows if is_number(value := row.get(column))]


def class_metric(classes: Sequence[Row]) -> str | None:
    """The column that classes are ranked by: the first numeric one except the count "n"."""
    return next((name for name in numeric_columns(classes) if name != "n"), None)


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value is a finite number."""
    return isinstance(value, Real) and math.isfinite(value)


def finite(metric: Metric) -> Metric:
    """The metric; if its value or interval is NaN or infinite, without it and with a note."""
    problems = []
    value, interval = metric.value, metric.interval
    if value is not None and not math.isfinite(value):
        problems.append(f"the value is {value}")
        value = None
    if interval is not None and not all(map(math.isfinite, interval)):
        problems.append("the interval is not finite")
        interval = None
    note = "; ".join([metric.note] * bool(metric.note) + problems)
    return dataclasses.replace(metric, value=value, interval=interval, note=note)


def _worst_first(rows: Sequence[Row], column: str | None, lower_is_better: Sequence[str]) -> list[Row]:
    ranked = [row for row in rows if column is not None and is_number(row.get(column))]
    return sorted(ranked, key=lambda row: cast(float, row[cast(str, column)]), reverse=column in lower_is_better)


def json_safe(value: Any) -> Any:
    """`value` converted to JSON types: dataclasses to objects, numpy scalars to numbers, NaN and infinity to None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: json_safe(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # numpy arrays and scalars, torch tensors
        return json_safe(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [json_safe(item) for item in items]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    return str(value)
