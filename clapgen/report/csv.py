"""A report as a table for other programs: one row a clip, in CSV (RFC 4180, UTF-8)."""

import csv
import math
import os
from numbers import Real

from clapgen.files import atomic_path
from clapgen.report.model import Report


def write_csv(report: Report, path: str | os.PathLike[str], force: bool = False) -> None:
    """Write `report.clips`, numbers in full precision; what is missing, NaN or infinite is an empty cell.

    Raises:
        ClapgenError: the file exists (and not `force`) or cannot be written.
    """
    columns = list(dict.fromkeys(name for row in report.clips for name in row)) or ["path"]
    # Bytes of a file name that are no UTF-8 come as lone surrogates: readable escapes instead of a crash.
    with (
        atomic_path(path, force) as temporary,
        open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file)  # ends lines with \r\n, and so quotes both \r and \n inside a cell
        writer.writerow(columns)
        for row in report.clips:
            writer.writerow([_cell(row.get(column)) for column in columns])


def _cell(value: object) -> object:
    return "" if isinstance(value, Real) and not math.isfinite(value) else value
