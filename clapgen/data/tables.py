"""Tables that users give to an evaluation (prompts, pairs, paraphrases, entailment): CSV, TSV or JSON lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clapgen.data.text import json_lines, read_text, shown
from clapgen.errors import ClapgenError, nearest

SUFFIXES = (".csv", ".tsv", ".jsonl")


@dataclass(frozen=True)
class TableRow:
    """One row: `where` is its file:line, `cells` the text of each known column that it has."""

    where: str
    cells: dict[str, str]

    def path(self, column: str, folder: Path) -> Path:
        """A cell that names a file; a relative one is relative to `folder`."""
        return folder / Path(self.cells[column]).expanduser()


def read_table(
    path: str | Path, required: Mapping[str, Sequence[str]], optional: Mapping[str, Sequence[str]] | None = None
) -> list[TableRow]:
    """The rows of a table; what kind it is goes by the ending of its name.

    Args:
        required, optional: column → the names it may have in the file. Lists in JSON are joined by semicolons.

    Raises:
        ClapgenError: not UTF-8, not CSV or JSON lines, no rows, a required column that is missing or empty in a row
            (named as file:line).
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ClapgenError(f"{path} is no table by its name; give a file ending in {', '.join(SUFFIXES)}.")
    read = json_lines if suffix == ".jsonl" else _csv_rows
    rows = []
    for where, raw in read(path):
        cells = {}
        for column, names in {**required, **(optional or {})}.items():
            name = next((name for name in names if name in raw), None)
            if name is None and column in required:
                columns = ", ".join(sorted(raw)) or "none"
                raise ClapgenError(
                    f"{where}: there is no column '{names[0]}'" + _also(names[1:]) + f"; the columns are {columns}."
                    f"{nearest(names[0], raw)}"
                )
            text = _text(raw.get(name) if name else None, f"{where}: '{name}'")
            if text:
                cells[column] = text
            elif column in required:
                raise ClapgenError(f"{where}: '{name}' is empty; fill it in, or take the row out.")
        rows.append(TableRow(where, cells))
    if not rows:
        raise ClapgenError(f"{path} has no rows.")
    return rows


def _also(names: Sequence[str]) -> str:
    return f" (nor {', '.join(map(repr, names))})" if names else ""


def _text(value: Any, what: str) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ";".join(value)
    if value is None or isinstance(value, str):
        return " ".join((value or "").split())
    raise ClapgenError(f"{what} must be text, not {shown(value)}.")


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), delimiter=delimiter, strict=True, restkey="")
    try:
        for row in reader:
            where = f"{path}:{reader.line_num}"
            if "" in row or None in row.values():
                raise ClapgenError(f"{where}: the row has more or fewer cells than the header; put commas in quotes.")
            yield where, {name.strip(): cell for name, cell in row.items()}
    except csv.Error as error:
        raise ClapgenError(f"{path}:{reader.line_num}: not CSV ({error}); a double quote may not be closed.") from error
