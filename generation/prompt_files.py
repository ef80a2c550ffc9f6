"""Prompt files: text with a prompt on each line, or a table or JSON whose rows have settings of their own."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from clapgen.data.tables import csv_rows
from clapgen.data.text import decode_text, json_lines, parse_json, read_lines, read_text, shown
from clapgen.errors import ClapgenError
from generation.requests import (
    EARLIER_KEYS,
    KEYS,
    RANGES,
    GenerationRequest,
    checked_request,
    overridden,
    with_current_keys,
)

logger = logging.getLogger(__name__)

SUFFIXES = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".ndjson")
PROMPT_KEYS = ("prompt", "caption", "text")  # in this order, the first that a row has

Row = tuple[str, dict[str, Any]]  # file:line for error messages, and the values


def requests_from_file(path: Path, settings: Mapping[str, Any]) -> list[GenerationRequest]:
    """Requests of a prompt file; settings of a row take precedence over `settings`.

    .txt has a prompt on each line, and so has "-", standard input. .csv and .tsv have a header with a column `prompt`
    (or `caption`, `text`) and columns for settings; other columns are ignored, and a warning names them. .jsonl and
    .ndjson have an object on each line, .json a list of objects or of prompts.

    Raises:
        ClapgenError: an unsupported suffix; what is wrong, with the file and the line.
    """
    requests = []
    for where, values in _rows(path):
        current = with_current_keys(values)
        if len(current) < len(values):
            both = next(f"'{old}' and '{new}'" for old, new in EARLIER_KEYS.items() if old in values and new in values)
            raise ClapgenError(f"{where}: {both} are the same setting; give the latter only.")
        requests.append(checked_request(overridden(settings, _with_prompt(current)), f"{where}: "))
    if not requests:
        raise ClapgenError(f"{path} contains no prompt; put one on each line.")
    return requests


def _rows(path: Path) -> Iterable[Row]:
    suffix = path.suffix.lower()
    if str(path) == "-":
        return _lines(io.StringIO(decode_text(sys.stdin.buffer.read(), "-"), newline=None).read().split("\n"), "-")
    if suffix == ".txt":
        return _lines(read_lines(path), str(path))
    if suffix in (".jsonl", ".ndjson"):
        return json_lines(path)
    if suffix == ".json":
        return _json_rows(path)
    if suffix in (".csv", ".tsv"):
        return _table_rows(path, "\t" if suffix == ".tsv" else ",")
    read_text(path)  # a missing file is the more helpful error
    raise ClapgenError(f"unsupported type of prompt file: {path}; use one of {', '.join(SUFFIXES)}.")


def _lines(lines: Iterable[str], name: str) -> Iterable[Row]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield f"{name}:{number}", {"prompt": line}


def _json_rows(path: Path) -> Iterable[Row]:
    content = parse_json(read_text(path), str(path))
    for number, item in enumerate(content if isinstance(content, list) else [content], start=1):
        where = f"{path}: item {number}"
        if not isinstance(item, (str, dict)):
            raise ClapgenError(f"{where}: {shown(item)} is neither a prompt nor an object with one.")
        yield where, {"prompt": item} if isinstance(item, str) else item


def _table_rows(path: Path, delimiter: str) -> Iterable[Row]:
    ignored: set[str] = set()
    for where, cells in csv_rows(read_text(path), path, [PROMPT_KEYS], delimiter):
        prompt_key = next(key for key in PROMPT_KEYS if key in cells)
        known = {prompt_key, *KEYS, *EARLIER_KEYS}
        if not ignored and (ignored := {key for key in cells if key not in known} - {""}):
            logger.warning("%s: ignoring the unknown columns: %s", path, ", ".join(sorted(ignored)))
        filled = {key: cell.strip() for key, cell in cells.items() if key in known and cell.strip()}
        yield where, {prompt_key: "", **{key: _value(key, cell) for key, cell in filled.items()}}


def _value(key: str, cell: str) -> Any:
    """A cell as the type of its setting; what is no number stays text, which `checked_request` refuses."""
    if EARLIER_KEYS.get(key, key) not in RANGES:
        return cell
    for number in (int, float):
        try:
            return number(cell)
        except ValueError:
            continue
    return cell


def _with_prompt(values: dict[str, Any]) -> dict[str, Any]:
    key = next((key for key in PROMPT_KEYS if key in values), "prompt")
    return {("prompt" if name == key else name): value for name, value in values.items()}
