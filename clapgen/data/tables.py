"""Tables that users give (CSV, TSV or JSON lines), read row by row, with errors that name the file and the line."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clapgen.data.csv_cells import from_text_cell
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
        """A cell that names a file; a relative one is relative to `folder`.

        Spaces at the ends of the name are dropped if there is no file with them.
        """
        name = self.cells[column]
        exact, stripped = (folder / Path(each).expanduser() for each in (name, name.strip()))
        return exact if os.path.lexists(exact) else stripped


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
    lines = io.StringIO(text, newline="").readlines()
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header: list[str] = []
    line = 1
    try:
        for cells in reader:
            where, first, line = f"{path}:{line}", line, reader.line_num + 1
            cells = [from_text_cell(cell) for cell in cells]
            inner = lines[first : line - 2]  # of a cell with line breaks
            if header and inner and all(_is_row(each, len(header), delimiter) for each in inner):
                raise ClapgenError(
                    f"{where}: a cell that starts here continues over {line - first} lines that look like rows of "
                    "their own: is a double quote left open or stray? Write a quote inside a cell twice, and the cell "
                    "in double quotes."
                )
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
        raise ClapgenError(
            f"{path}:{line}: invalid CSV ({error}); is a double quote left open or stray? Write a quote inside a cell "
            "twice, and the cell in double quotes."
        ) from error


def read_table(
    path: str | Path,
    required: Names,
    optional: Names | None = None,
    lists: Names | None = None,
    files: Collection[str] = (),
) -> list[TableRow]:
    """The rows of a `.csv`, `.tsv` or `.jsonl` file, with runs of spaces and line breaks collapsed.

    Args:
        required, optional: columns of text.
        lists: columns of lists: a JSON list, or text separated by semicolons.
        files: those of the columns of text that name files, whose spaces are kept.

    Raises:
        ClapgenError: as `table_rows`; no rows; a required cell that is empty, or a cell that is not text.
    """
    columns = {**required, **(optional or {})}
    rows = []
    for where, raw in table_rows(path, required.values()):
        cells = {}
        for column, names in columns.items():
            name = next((name for name in names if name in raw), None)
            value = raw.get(name) if name else None
            if text := _text(value, f"{where}: '{name}'"):
                cells[column] = value if column in files and isinstance(value, str) else text
            elif column in required:
                raise ClapgenError(f"{where}: '{name}' is empty; fill it in, or remove the row.")
        rows.append(TableRow(where, cells, {key: _texts(raw, names, where) for key, names in (lists or {}).items()}))
    if not rows:
        raise ClapgenError(f"{path} has no rows.")
    return rows


def _is_row(line: str, cells: int, delimiter: str) -> bool:
    """Whether a line inside a quoted cell would be a row by itself."""
    own = line.split(delimiter)
    return '"' not in line and len(own) == cells and all(cell.strip() for cell in own)


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
