"""Sentences about sounds: read from JSONL, CSV or plain text, normalised and counted."""

from __future__ import annotations

import csv
import json
import logging
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clapgen.errors import ClapgenError

logger = logging.getLogger(__name__)

MAX_CHARACTERS = 1000  # real captions have about a tenth of that
CAPTION_KEYS = {"caption", "captions"}
CAPTION_COLUMNS = ("caption", "captions", "raw", "text", *(f"caption_{n}" for n in range(1, 6)))


@dataclass
class Sentences:
    """Distinct sentences of one file, how often each occurs, and the number of skipped lines by reason."""

    source: str
    texts: list[str]
    counts: list[int]
    skipped: dict[str, int]


def read_sentences(path: str | Path, splits: Sequence[str] = ("train",), free_only: bool = False) -> Sentences:
    """The distinct captions of a file, in the order of their first occurrence.

    - `.jsonl`: objects with "caption" (a string) or "captions" (a list). Objects whose "split" is not in `splits` are
      skipped, and with `free_only` those whose "free" is false. A manifest is such a file; its clips without captions
      are skipped.
    - `.csv`, `.tsv`: a header with caption, or caption_1 … caption_5 (the format of Clotho and aac-metrics).
    - anything else: plain text, one sentence per line.

    Sentences of more than 1,000 characters, without a letter or with control characters are skipped and counted.

    Raises:
        ClapgenError: the file is unreadable or not UTF-8, a line is malformed, or no sentence is left. The error names
            the file and, where there is one, the line.
    """
    path = Path(path)
    counts: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    for text in _captions(path, splits, free_only, skipped):
        if len(text) > MAX_CHARACTERS:
            skipped[f"longer than {MAX_CHARACTERS} characters"] += 1
        elif not any(map(str.isalpha, text)):
            skipped["without a letter"] += 1
        elif _is_broken(tidied := tidy(text)):
            skipped["with control characters or unpaired surrogates"] += 1
        else:
            counts[tidied] += 1
    if not counts:
        why = "; ".join(f"{count} lines skipped: {reason}" for reason, count in skipped.items()) or "it is empty"
        raise ClapgenError(f"{path} has no usable sentence ({why}).")
    for reason, count in skipped.items():
        logger.warning("%s: %d lines skipped: %s", path, count, reason)
    return Sentences(str(path), list(counts), list(counts.values()), dict(skipped))


def tidy(text: str) -> str:
    """One line, single spaces, first letter capitalised, no final full stop: the style of AudioCaps."""
    text = " ".join(text.split()).rstrip(" .")
    return text[:1].upper() + text[1:]


def _is_broken(text: str) -> bool:
    return not text.isprintable() and any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def _captions(path: Path, splits: Sequence[str], free_only: bool, skipped: Counter[str]) -> Iterator[str]:
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".json"):
        for where, line in _lines(path):
            row = _parsed(line, where)
            if "split" in row and row["split"] not in (*splits, None):
                skipped[f"split is not {' or '.join(splits)}"] += 1
            elif free_only and row.get("free") is False:
                skipped["not free"] += 1
            elif not CAPTION_KEYS & row.keys() and line.strip():
                skipped["without a caption"] += 1
            else:
                yield from _of_row(row, where)
    elif suffix in (".csv", ".tsv"):
        lines = (line + "\n" for _, line in _lines(path))
        reader = csv.DictReader(lines, delimiter="\t" if suffix == ".tsv" else ",", strict=True)
        columns = [name for name in reader.fieldnames or [] if name.strip().lower() in CAPTION_COLUMNS]
        if not columns:
            raise ClapgenError(f"{path}:1 has no column caption or caption_1 … (columns: {reader.fieldnames}).")
        start = reader.line_num + 1  # of a row: an open quote swallows all lines to the end
        try:
            for row in reader:
                start = reader.line_num + 1
                yield from (row[name] for name in columns if row[name])
        except csv.Error as error:
            raise ClapgenError(f"{path}:{start} is not a valid row ({error}); is a quote left open?") from error
    else:
        yield from (line for _, line in _lines(path) if line.strip())


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """(file:line, text) of each line."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield f"{path}:{number}", line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    raise ClapgenError(
                        f"{path}:{number} is not UTF-8 text (byte {error.start}); convert it, e.g. with iconv -t UTF-8."
                    ) from error
    except OSError as error:
        raise ClapgenError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error


def _parsed(line: str, where: str) -> dict[str, Any]:
    if not line.strip():
        return {"captions": []}
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ClapgenError(f"{where} is not JSON ({error})") from error
    if not isinstance(row, dict) or not (CAPTION_KEYS | {"path"}) & row.keys():  # a clip may have no caption
        raise ClapgenError(f'{where} is not a JSON object with "caption" or "captions"')
    return row


def _of_row(row: dict[str, Any], where: str) -> list[str]:
    captions = row["captions"] if "captions" in row else [row["caption"]]
    if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
        raise ClapgenError(f'{where}: "captions" is not a list of strings, or "caption" not a string')
    return captions
