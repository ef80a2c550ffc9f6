"""Cells of CSV files that a spreadsheet opens as text, and the way back."""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Iterable, Sequence
from numbers import Real

_FORMULA = re.compile(r"'*[=+\-@\t\r]")  # what starts like this is run by spreadsheets; the apostrophe prevents it
_ESCAPED = re.compile(r"''*[=+\-@\t\r]")


def write_csv_rows(path: str | os.PathLike[str], columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as RFC 4180 in UTF-8; text as by `as_text_cell`, NaN and infinite numbers as empty cells.

    File names that are not UTF-8 get readable escapes such as `\\udcff`.
    """
    with open(path, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file)  # its lines end with \r\n, so it quotes cells that contain either
        writer.writerow(map(_cell, columns))
        writer.writerows(map(_cell, row) for row in rows)


def as_text_cell(text: str) -> str:
    """The text, with an apostrophe in front where a spreadsheet would run it as a formula (=, +, -, @, tab, CR)."""
    return f"'{text}" if _FORMULA.match(text) else text


def from_text_cell(cell: str) -> str:
    """The text that `as_text_cell` was given."""
    return cell[1:] if _ESCAPED.match(cell) else cell


def _cell(value: object) -> object:
    if isinstance(value, str):
        return as_text_cell(value)
    return "" if isinstance(value, Real) and not math.isfinite(value) else value
