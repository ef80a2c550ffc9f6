"""Tables that users give (CSV, TSV or JSON lines), read row by row, with errors that name the file and the line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clapgen.data.text import json_lines, read_text, shown
from clapgen.errors import ClapgenError, nearest

SUFFIXES = (".csv", ".tsv", ".jsonl")

Names = Mapping[str, Sequence[str]]  # column → the names it may have in a file


@dataclass(frozen=True)
class TableRow:
    """One row of a table.

    Attributes:
        where: file:line, for error messages.
        cells: the text of each known column that the row has.
        lists: the texts of each known column that holds a list.
    """

    where: str
    cells: dict[str, str]
    lists: dict[str, list[str]] = field(default_factory=dict)

    def path(self, column: str, folder: Path) -> Path:
        """A cell that names a file; a relative one is relative to `folder`."""
        return folder / Path(self.cells[column]).expanduser()


def table_rows(path: str | Path, required: Iterable[Sequence[str]] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (file:line, cells by column) for each row of a `.csv`, `.tsv` or `.jsonl` file; blank rows are skipped.

    Cells of CSV and TSV are text, as they are in the file; those of JSON lines are JSON values.

    Args:
        required: columns that must be present, each as the names it may have.

    Raises:
        ClapgenError: an unsupported file type, a file that cannot be read or is not UTF-8, a malformed row, a column
            that comes twice or is missing.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ClapgenError(f"Unsupported file type: {path}; give a table ending in {', '.join(SUFFIXES)}.")
    if suffix != ".jsonl":
        yield from csv_rows(read_text(path), path, required, delimiter="\t" if suffix == ".tsv" else ",")
        return
    for where, row in json_lines(path):
        _check_columns(row, required, where)
        yield where, row


def csv_rows(
    text: str, path: str | Path, required: Iterable[Sequence[str]] = (), delimiter: str = ","
) -> Iterator[tuple[str, dict[str, str]]]:
    """`table_rows` of the text of a CSV file that is already in memory; `path` is for error messages."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    line = 1
    try:
        for cells in reader:
            where, line = f"{path}:{line}", reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = [name.strip() for name in cells]
                if twice := sorted(name for name in set(header) if name and header.count(name) > 1):
                    raise ClapgenError(f"{where}: the header has the column '{twice[0]}' twice; rename one.")
                _check_columns(header, required, where)
            elif len(cells) != len(header):
                raise ClapgenError(
                    f"{where}: the row has {len(cells)} cells, the header {len(header)}; put cells that contain "
                    'commas in double quotes, and keep empty cells ("a,,b").'
                )
            else:
                yield where, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise ClapgenError(f"{path}:{line}: invalid CSV ({error}); check for an unclosed double quote.") from error


def read_table(
    path: str | Path, required: Names, optional: Names | None = None, lists: Names | None = None
) -> list[TableRow]:
    """The rows of a `.csv`, `.tsv` or `.jsonl` file, with runs of spaces and line breaks collapsed.

    Args:
        required, optional: columns of text.
        lists: columns of lists: a JSON list, or text separated by semicolons.

    Raises:
        ClapgenError: as `table_rows`; no rows; a required cell that is empty, or a cell that is not text.
    """
    columns = {**required, **(optional or {})}
    rows = []
    for where, raw in table_rows(path, required.values()):
        cells = {}
        for column, names in columns.items():
            name = next((name for name in names if name in raw), None)
            if text := _text(raw.get(name) if name else None, f"{where}: '{name}'"):
                cells[column] = text
            elif column in required:
                raise ClapgenError(f"{where}: '{name}' is empty; fill it in, or remove the row.")
        rows.append(TableRow(where, cells, {key: _texts(raw, names, where) for key, names in (lists or {}).items()}))
    if not rows:
        raise ClapgenError(f"{path} has no rows.")
    return rows


def split_list(text: str) -> list[str]:
    """The items of a cell that holds a list, separated by semicolons."""
    return [item.strip() for item in text.split(";") if item.strip()]


def _check_columns(columns: Iterable[str], required: Iterable[Sequence[str]], where: str) -> None:
    present = [name for name in columns if name]
    for names in required:
        if not set(names) & set(present):
            other = f" (or {', '.join(map(repr, names[1:]))})" if len(names) > 1 else ""
            hint = next(filter(None, (nearest(name, present) for name in names)), "")
            found = ", ".join(present)[:200] or "none"
            raise ClapgenError(f"{where}: no column '{names[0]}'{other}; the columns are {found}.{hint}")


def _text(value: Any, what: str) -> str:
    if value is None or isinstance(value, str):
        return " ".join((value or "").split())
    raise ClapgenError(f"{what} must be text, not {shown(value)}.")


def _texts(raw: Mapping[str, Any], names: Sequence[str], where: str) -> list[str]:
    name = next((name for name in names if name in raw), None)
    value = raw.get(name) if name else None
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [" ".join(item.split()) for item in value if item.strip()]
    return split_list(_text(value, f"{where}: '{name}'"))
