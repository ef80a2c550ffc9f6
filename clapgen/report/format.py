"""How numbers and settings of a report are displayed, on the terminal and in HTML."""

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

from clapgen.report.model import Metric, Row, Skipped, is_number, numeric_columns

MISSING = "-"


def number(value: Any) -> str:
    """A number with three decimals below 10 and fewer above; integers in full; `-` for None, NaN and infinity.

    Whole numbers from 10 up are shown as integers even if they are floats: they are counts, ranks or medians of ranks.
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
    """The formatted cells of a column; missing values are `-` in numeric columns and empty in others."""
    gap = MISSING if column in numeric_columns(rows) else ""
    return [gap if row.get(column) is None else number(row[column]) for row in rows]


def interval(metric: Metric) -> str:
    """The interval as text; empty if there is none."""
    return f"{number(metric.interval[0])} to {number(metric.interval[1])}" if metric.interval else ""


def arrow(metric: Metric) -> str:
    """An arrow up or down for the better direction; empty if there is none."""
    return {True: "↑", False: "↓", None: ""}[metric.higher_is_better]


def setting(value: Any) -> str:
    """A setting on one line: mappings as `name: value`, sequences separated by commas."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {setting(item)}" for name, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(setting, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str("none" if value is None else value)


def reason(skipped: Skipped) -> str:
    """Why a file was skipped, without its path, which is shown separately."""
    return skipped.reason.removeprefix(skipped.path).lstrip(" :") or skipped.reason


def count(n: int, one: str, many: str = "") -> str:
    """`1 clip`, `2 clips`."""
    return f"{n} {one if n == 1 else many or one + 's'}"
