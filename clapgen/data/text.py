"""Text that users give in files: UTF-8, or an error that says where it is something else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clapgen.errors import ClapgenError


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file, without a byte-order mark if it has one.

    Raises:
        ClapgenError: the file cannot be read, or is not UTF-8 (named as file:line, with the byte).
    """
    try:
        content = Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = str(getattr(error, "strerror", None) or error).lower()
        raise ClapgenError(f"cannot read {str(path)!r}: {reason}; give a text file.") from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ClapgenError(
            f"{path}:{line}: byte 0x{content[error.start]:02x} is not UTF-8 text; save the file as UTF-8 "
            "(iconv -f LATIN1 -t UTF-8, if it is Western European)."
        ) from error


def json_lines(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file:line, object) of every line of a file of JSON objects; empty lines are passed over.

    Raises:
        ClapgenError: as `read_text`; named as file:line: a line that is no JSON object.
    """
    for number, line in enumerate(read_text(path).split("\n"), 1):
        where = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", "nested too deeply")
            raise ClapgenError(f"{where}: not a line of JSON ({reason}); write one object a line.") from error
        if not isinstance(row, dict):
            raise ClapgenError(f"{where}: {shown(row)} is no JSON object; write one a line.")
        yield where, row


def parse_labels(given: str, option: str = "--labels") -> list[str]:
    """The labels of a command-line option: separated by commas, or `@FILE` with one label per line.

    Raises:
        ClapgenError: as `read_text`; fewer than two labels, or one that comes twice.
    """
    pieces = read_text(given[1:]).splitlines() if given.startswith("@") else given.split(",")
    labels = [" ".join(piece.split()) for piece in pieces if piece.strip()]
    if repeated := [label for label in labels if labels.count(label) > 1]:
        raise ClapgenError(f"{option} names '{min(repeated)}' more than once.")
    if len(labels) < 2:
        raise ClapgenError(f"{option} must name at least two labels, e.g. {option} rain,wind.")
    return labels


def shown(value: Any) -> str:
    """A JSON value as an error shows it: at most 60 characters."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"
