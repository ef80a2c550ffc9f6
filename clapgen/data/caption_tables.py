"""Captions to score, read from a table: CSV with the columns of aac-metrics, or JSON lines."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from clapgen.data.manifest import read_manifest
from clapgen.data.tables import TableRow, split_list, table_rows
from clapgen.data.text import shown
from clapgen.errors import ClapgenError

NAMES = ("file_name", "path")
PREDICTED = ("caption_predicted", "caption")
_REFERENCE = re.compile(r"caption_\d+")
Cells = dict[str, Any]


def read_caption_table(path: str | Path, manifest: str | Path | None = None) -> list[TableRow]:
    """The rows of a table of captions, in order: cells `file_name`, `caption_predicted`; lists `references`, `labels`.

    - `.csv` (commas), `.tsv` (tabs): a header with `file_name`, `caption_predicted`, the references in `caption_1`,
      `caption_2`, … (the columns of aac-metrics; empty cells are skipped) and optionally `labels`, separated by
      semicolons.
    - `.jsonl`: one object per line with "file_name", "caption_predicted", "references" (a list), "labels" (a list).

    Both accept `path` for `file_name` and `caption` for `caption_predicted`, and ignore other columns. A table has
    references, labels or both; if it has references, every clip has at least one. A caption may be empty. Cells are
    text and are never evaluated.

    Args:
        manifest: take references and labels from this manifest instead of the table, matched by path or, where no two
            clips share it, by file name.

    Raises:
        ClapgenError: as `table_rows`; a cell of the wrong type, a clip without references, a clip that comes twice
            (named as file:line), a table without rows.
    """
    rows: list[TableRow] = []
    lines: dict[str, str] = {}
    for where, raw in table_rows(path, (NAMES, PREDICTED)):
        raw = raw if Path(path).suffix.lower() == ".jsonl" else _lists_of_csv(raw)
        name, caption = (_string(raw, names, where) for names in (NAMES, PREDICTED))
        if not name:
            raise ClapgenError(f"{where}: the file name is empty; every clip needs one.")
        if before := lines.get(name):
            raise ClapgenError(
                f"{where}: {name!r} is already on {before}; keep one of the two "
                "(clapgen caption --window 0 writes one caption per file)."
            )
        lines[name] = where
        lists = {column: _strings(raw, column, where) for column in ("references", "labels")}
        rows.append(TableRow(where, {"file_name": name, "caption_predicted": caption}, lists))
    if not rows:
        raise ClapgenError(f"{path} has no captions; it needs one row per clip.")
    if manifest is not None:
        rows = _with_manifest(rows, manifest)
    _check_references(rows)
    return rows


def _lists_of_csv(raw: Cells) -> Cells:
    """The row with the lists that JSON lines would have."""
    columns = sorted((name for name in raw if _REFERENCE.fullmatch(name)), key=lambda name: int(name[8:]))
    references = [raw[name] for name in columns if raw[name].strip()]
    return raw | {"references": references, "labels": split_list(raw.get("labels", ""))}


def _with_manifest(rows: list[TableRow], manifest: str | Path) -> list[TableRow]:
    """The rows with the captions and labels of their clips in the manifest."""
    clips = read_manifest(manifest)
    by_path = {clip.path.resolve(): clip for clip in clips}
    names = Counter(clip.path.name for clip in clips)
    by_name = {clip.path.name: clip for clip in clips if names[clip.path.name] == 1}
    joined = []
    for row in rows:
        name = row.cells["file_name"]
        clip = by_path.get(Path(name).resolve()) or by_name.get(Path(name).name)
        if clip is None:
            raise ClapgenError(f"{row.where}: {name!r} is not in {manifest}, by path or by unique file name.")
        joined.append(replace(row, lists={"references": clip.captions, "labels": clip.labels}))
    return joined


def _string(raw: Cells, names: tuple[str, ...], where: str) -> str:
    found = [name for name in names if name in raw]
    if len(found) > 1 and raw[found[0]] != raw[found[1]]:
        raise ClapgenError(f"{where}: '{found[0]}' and '{found[1]}' differ; keep one of them.")
    if not isinstance(raw[found[0]], str):
        raise ClapgenError(f"{where}: '{found[0]}' is {shown(raw[found[0]])}; it must be a string.")
    return raw[found[0]]


def _strings(raw: Cells, name: str, where: str) -> list[str]:
    texts = raw.get(name)
    if texts is None:
        return []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ClapgenError(f"{where}: '{name}' is {shown(texts)}; it must be a list of strings.")
    return texts


def _check_references(rows: list[TableRow]) -> None:
    needed = any(row.lists["references"] for row in rows)
    for row in rows:
        name, references = row.cells["file_name"], row.lists["references"]
        if not references and not row.lists["labels"]:
            raise ClapgenError(
                f"{row.where}: {name!r} has no references (caption_1 in CSV, references in JSON lines) and no labels; "
                "a caption is scored against one or the other."
            )
        if not references and needed:
            raise ClapgenError(f"{row.where}: {name!r} has no reference, but other clips have; add one.")
