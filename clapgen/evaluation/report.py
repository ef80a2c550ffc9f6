"""The result of one evaluation: its figures, what they were measured by, and everything that was left out."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Figure:
    """One number of a report.

    Attributes:
        name: what it is, such as "CLAP score".
        value: the number; None if it could not be computed, and then `note` says why.
        n: how many clips, pairs or sentences it was computed from.
        interval: lower and upper end of its 95% interval.
        scale: its range or unit, such as "0–1" or "× 100".
        higher_is_better: None where neither end is better.
        note: one remark, such as the direction of a divergence.
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
    """A file that could not be used, and why."""

    path: str
    reason: str


@dataclass
class Confusion:
    """How often the class of a row (the truth) was taken for the class of a column."""

    labels: list[str]
    counts: list[list[int]]


@dataclass
class Report:
    """Everything that one evaluation found.

    Attributes:
        kind: which evaluation: "generation", "retrieval", "zero-shot", "captions" or "composition".
        title: one line for the head of a page.
        figures: the numbers.
        clips: a row a clip, all with the same keys; the first is "path".
        classes: a row a class, all with the same keys; the first is "class".
        confusion: for classification.
        settings: what the figures depend on: model name and hash, window policy, rates, bandwidth, templates, …
        warnings: what a reader must know before using the figures.
        skipped: the files left out.
        seconds: how long it took.
        command: the command line, or the call.
        versions: of Python and of the packages that computed.
        date: ISO 8601.
    """

    kind: str
    title: str
    figures: list[Figure]
    clips: list[dict[str, str | float | int | None]] = field(default_factory=list)
    classes: list[dict[str, str | float | int | None]] = field(default_factory=list)
    confusion: Confusion | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    seconds: float = 0.0
    command: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    date: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON knows it: NaN and infinities become None, and the note of such a figure says so."""
        return json_safe(dataclasses.replace(self, figures=[finite(figure) for figure in self.figures]))


def finite(figure: Figure) -> Figure:
    """The same figure, or, if its value or interval is NaN or infinite, one without it whose note says so."""
    problems = []
    value, interval = figure.value, figure.interval
    if value is not None and not math.isfinite(value):
        problems.append(f"the value is {value}, not a number that can be used")
        value = None
    if interval is not None and not all(map(math.isfinite, interval)):
        problems.append("the interval is not finite")
        interval = None
    note = "; ".join([figure.note] * bool(figure.note) + problems)
    return dataclasses.replace(figure, value=value, interval=interval, note=note)


def json_safe(value: Any) -> Any:
    """The nearest that JSON has to `value`: dataclasses as objects, numpy scalars as numbers, NaN and inf as None."""
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
