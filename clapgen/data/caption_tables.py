"""Captions to score, read from a table: CSV as aac-metrics has it, or JSON lines."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clapgen.data.manifest import read_manifest
from clapgen.data.text import json_lines, read_text, shown
from clapgen.errors import ClapgenError, nearest

NAMES = ("file_name", "path")
PREDICTED = ("caption_predicted", "caption")
_REFERENCE = re.compile(r"caption_\d+")
Cells = dict[str, Any]


@dataclass(frozen=True)
class CaptionRow:
    """A clip's caption with what it is scored against; `references` or `labels` may be empty, not both."""

    file_name: str
    caption_predicted: str
    references: list[str]
    labels: list[str]


def read_caption_table(path: str | Path, manifest: str | Path | None = None) -> list[CaptionRow]:
    """The rows of a table of captions, in order; its kind goes by the ending of its name.

    - `.csv` (commas), `.tsv` (tabs): a header with `file_name`, `caption_predicted`, the references in `caption_1`,
      `caption_2`, … (aac-metrics' columns; as many as there are, empty cells are left out) and, if there are any,
      `labels`, separated by semicolons.
    - `.jsonl`: a line is an object with "file_name", "caption_predicted", "references" (a list), "labels" (a list).

    Either takes `path` for `file_name` and `caption` for `caption_predicted`, and leaves other columns alone. A table
    has references, labels or both; one that has references has at least one for every clip. A caption may be empty.
    Cells are text and nothing else: none is evaluated.

    Args:
        manifest: takes references and labels of the clips from this manifest, by path or, where no two clips share
            it, by file name; whatever the table has of either is left alone.

    Raises:
        ClapgenError: named as file:line: text that is not UTF-8, a column or key that is missing or of another type, a
            clip without references, a clip that comes twice; naming the file: it cannot be read or has no rows.
    """
    path = Path(path)
    readers = {".csv": _csv_rows, ".tsv": _csv_rows, ".jsonl": json_lines}
    if path.suffix.lower() not in readers:
        raise ClapgenError(f"{str(path)!r} is no table of captions by its name; give a .csv, .tsv or .jsonl file.")
    rows: list[CaptionRow] = []
    lines: dict[str, str] = {}
    for where, cells in readers[path.suffix.lower()](path):
        row = CaptionRow(
            _string(cells, NAMES, where),
            _string(cells, PREDICTED, where),
            _strings(cells, "references", where),
            _strings(cells, "labels", where),
        )
        if not row.file_name:
            raise ClapgenError(f"{where}: the file name is empty; give one, by which the clip is told from others.")
        if before := lines.get(row.file_name):
            raise ClapgenError(
                f"{where}: {row.file_name!r} comes a second time, after {before}; keep one of the two "
                "(clapgen caption --window 0 writes one a file)."
            )
        lines[row.file_name] = where
        rows.append(row)
    if not rows:
        raise ClapgenError(f"{path} has no captions; it needs a row a clip.")
    if manifest is not None:
        rows = _with_manifest(rows, list(lines.values()), manifest)
    _check_references(rows, list(lines.values()))
    return rows


def _with_manifest(rows: list[CaptionRow], lines: list[str], manifest: str | Path) -> list[CaptionRow]:
    """The rows with the captions and labels that the manifest has of their clips."""
    clips = read_manifest(manifest)
    by_path = {clip.path.resolve(): clip for clip in clips}
    names = Counter(clip.path.name for clip in clips)
    by_name = {clip.path.name: clip for clip in clips if names[clip.path.name] == 1}
    found = []
    for row, where in zip(rows, lines, strict=True):
        clip = by_path.get(Path(row.file_name).resolve()) or by_name.get(Path(row.file_name).name)
        if clip is None:
            raise ClapgenError(
                f"{where}: {row.file_name!r} is not in {manifest}, by path or by a file name that only one clip has."
            )
        found.append(replace(row, references=clip.captions, labels=clip.labels))
    return found


def _string(cells: Cells, names: tuple[str, ...], where: str) -> str:
    found = [name for name in names if name in cells]
    if not found:
        hint = next(filter(None, (nearest(name, (c for c in cells if c)) for name in names)), "")
        raise ClapgenError(f'{where}: there is no "{names[0]}" (nor "{names[1]}"); add it.{hint}')
    if len(found) > 1 and cells[found[0]] != cells[found[1]]:
        raise ClapgenError(f'{where}: "{found[0]}" and "{found[1]}" differ; keep one of them.')
    if not isinstance(cells[found[0]], str):
        raise ClapgenError(f'{where}: "{found[0]}" is {shown(cells[found[0]])}; it must be a string.')
    return cells[found[0]]


def _strings(cells: Cells, name: str, where: str) -> list[str]:
    texts = cells.get(name)
    if texts is None:
        return []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ClapgenError(f'{where}: "{name}" is {shown(texts)}; it must be a list of strings.')
    return texts


def _check_references(rows: list[CaptionRow], lines: list[str]) -> None:
    needed = any(row.references for row in rows)
    for row, where in zip(rows, lines, strict=True):
        if not row.references and not row.labels:
            raise ClapgenError(
                f'{where}: {row.file_name!r} has neither references ("caption_1" in CSV, "references" in JSON lines) '
                'nor "labels"; a caption is scored against one or the other.'
            )
        if not row.references and needed:
            raise ClapgenError(
                f"{where}: {row.file_name!r} has no reference and other clips have; give one, or leave the clip out."
            )


def _csv_rows(path: Path) -> Iterator[tuple[str, Cells]]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    line = 1
    try:
        for cells in reader:
            where, line = f"{path}:{line}", reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = [name.strip() for name in cells]
                _check_header(header, where)
            elif len(cells) != len(header):
                raise ClapgenError(
                    f"{where}: the row has {len(cells)} cells and the header {len(header)}; put captions with commas "
                    'in double quotes, and give empty cells too ("a,,b").'
                )
            else:
                yield where, _csv_cells(dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise ClapgenError(f"{path}:{line}: not CSV ({error}); a double quote may not be closed.") from error


def _check_header(header: list[str], where: str) -> None:
    if twice := {name for name in header if name and header.count(name) > 1}:
        raise ClapgenError(f"{where}: the column {sorted(twice)[0]!r} comes twice in the header; rename one.")
    for names in (NAMES, PREDICTED):
        _string(dict.fromkeys(header, ""), names, f"{where}: the header is {', '.join(header)[:200]!r}")


def _csv_cells(row: dict[str, str]) -> Cells:
    references = sorted((name for name in row if _REFERENCE.fullmatch(name)), key=lambda name: int(name[8:]))
    cells: Cells = {name: row[name] for name in (*NAMES, *PREDICTED) if name in row}
    if references:
        cells["references"] = [row[name] for name in references if row[name].strip()]
    if "labels" in row:
        cells["labels"] = [label.strip() for label in row["labels"].split(";") if label.strip()]
    return cells
