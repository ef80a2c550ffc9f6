"""How a report's numbers and settings are written for people, on the terminal and on the page alike."""

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

from clapgen.report.model import Metric, Row, Skipped, is_number, numeric_columns

MISSING = "-"


def number(value: Any) -> str:
    """Three decimals below 10 and fewer above, so that columns line up; counts in full; `-` for None, NaN and inf.

    Whole numbers from 10 up are counts, ranks and medians of them, whatever their type.
    """
    if isinstance(value, bool | str):
        return str(value)
    if not is_number(value):
        return MISSING
    if isinstance(value, Integral):
        return str(value)
    size = abs(float(value))
    if size < 1e-9:
        return "0.000"  # smoothed zeros, rounding
    if 10 <= size < 1e7 and float(value).is_integer():
        return str(int(value))
    if size < 5e-4 or size >= 1e7:
        return f"{value:.2g}"
    decimals = 3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0
    return f"{value:.{decimals}f}"


def cells(rows: Sequence[Row], column: str) -> list[str]:
    """A column as it is written: numbers and `-`, or text with nothing where there is none."""
    gap = MISSING if column in numeric_columns(rows) else ""
    return [gap if row.get(column) is None else number(row[column]) for row in rows]


def interval(metric: Metric) -> str:
    """Both ends of the interval, or nothing."""
    return f"{number(metric.interval[0])} to {number(metric.interval[1])}" if metric.interval else ""


def arrow(metric: Metric) -> str:
    """Where better is: up, down, or nowhere."""
    return {True: "↑", False: "↓", None: ""}[metric.higher_is_better]


def setting(value: Any) -> str:
    """A setting on one line: mappings as `name: value`, sequences with commas."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {setting(item)}" for name, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(setting, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str("none" if value is None else value)


def reason(skipped: Skipped) -> str:
    """Why a file was skipped, without its path, which stands beside it."""
    return skipped.reason.removeprefix(skipped.path).lstrip(" :") or skipped.reason


def count(n: int, one: str, many: str = "") -> str:
    """`1 clip`, `2 clips`."""
    return f"{n} {one if n == 1 else many or one + 's'}"
