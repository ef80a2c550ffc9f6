"""The table of clips of a report as CSV."""

import os

from clapgen.data.csv_cells import write_csv_rows
from clapgen.files import atomic_path
from clapgen.report.model import Report


def write_csv(report: Report, path: str | os.PathLike[str], force: bool = False) -> None:
    """Write `report.clips` with numbers in full precision; missing, NaN and infinite values are empty cells.

    Text that a spreadsheet would run as a formula gets an apostrophe in front, which our tables read back.

    Raises:
        ClapgenError: the file exists (and not `force`) or cannot be written.
    """
    columns = list(dict.fromkeys(name for row in report.clips for name in row)) or ["path"]
    with atomic_path(path, force) as temporary:
        write_csv_rows(temporary, columns, ([row.get(column) for column in columns] for row in report.clips))
