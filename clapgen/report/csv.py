"""The table of clips of a report as CSV (RFC 4180, UTF-8)."""

import csv
import math
import os
from numbers import Real

from clapgen.files import atomic_path
from clapgen.report.model import Report


def write_csv(report: Report, path: str | os.PathLike[str], force: bool = False) -> None:
    """Write `report.clips` with numbers in full precision; missing, NaN and infinite values are empty cells.

    Raises:
        ClapgenError: the file exists (and not `force`) or cannot be written.
    """
    columns = list(dict.fromkeys(name for row in report.clips for name in row)) or ["path"]
    # File names that are not UTF-8 contain unpaired surrogates: write readable escapes instead of failing.
    with (
        atomic_path(path, force) as temporary,
        open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file)  # its lines end with \r\n, so it quotes cells that contain either
        writer.writerow(columns)
        for row in report.clips:
            writer.writerow([_cell(row.get(column)) for column in columns])


def _cell(value: object) -> object:
    return "" if isinstance(value, Real) and not math.isfinite(value) else value
