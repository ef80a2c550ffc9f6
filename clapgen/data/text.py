"""Text from users, in files and on the command line: read as UTF-8 and checked before any model sees it."""

from __future__ import annotations

import codecs
import io
import json
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from clapgen.errors import ClapgenError

LONGEST_PROMPT = 1000  # characters
DEFAULT_TEMPLATE = "This is a sound of {label}."  # of a prompt for a label


def read_text(path: str | Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte-order mark, as Windows programs write it.

    Raises:
        ClapgenError: the file cannot be read, or is neither (named as file:line, with the byte).
    """
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = str(getattr(error, "strerror", None) or error).lower()
        raise ClapgenError(f"cannot read {str(path)!r}: {reason}; give a text file.") from error
    return decode_text(content, str(path))


def decode_text(content: bytes, name: str) -> str:
    """As `read_text`, of the content of a file; `name` is for the error message."""
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ClapgenError(
            f"{name}:{line}: byte 0x{content[error.start]:02x} is not {encoding.upper()} text; save the file as UTF-8 "
            "(for Western European text: iconv -f LATIN1 -t UTF-8)."
        ) from error


def read_lines(path: str | Path) -> list[str]:
    """The lines of a UTF-8 file without their line ends, whether these are \\n, \\r\\n or \\r.

    Raises:
        ClapgenError: as `read_text`.
    """
    return io.StringIO(read_text(path), newline=None).read().split("\n")


def clean_prompt(prompt: Any, label: str) -> str:
    """Collapse line breaks and runs of spaces. `ClapgenError`, starting with `label`, for empty, overlong or binary
    text."""
    if not isinstance(prompt, str):
        raise ClapgenError(f"{label} must be text, not {'missing' if prompt is None else json.dumps(prompt)}.")
    for position, character in enumerate(prompt):
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\r\t":
            raise ClapgenError(
                f"{label} has the control character U+{ord(character):04X} at position {position}; remove it."
            )
    cleaned = " ".join(prompt.split())
    if not cleaned:
        raise ClapgenError(f"{label} is empty; describe a sound, e.g. 'rain on a tin roof'.")
    if len(cleaned) > LONGEST_PROMPT:
        raise ClapgenError(f"{label} has {len(cleaned):,} characters; the limit is {LONGEST_PROMPT:,}.")
    return cleaned


def json_lines(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file:line, object) for each line of a file of JSON objects; empty lines are skipped.

    Raises:
        ClapgenError: as `read_text`; a line that is not a JSON object (named as file:line).
    """
    for number, line in enumerate(read_text(path).split("\n"), 1):
        where = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", "nested too deeply")
            raise ClapgenError(f"{where}: invalid JSON ({reason}); write one object per line.") from error
        if not isinstance(row, dict):
            raise ClapgenError(f"{where}: {shown(row)} is not a JSON object; write one per line.")
        yield where, row


def parse_json(text: str, where: str) -> Any:
    """The value of a JSON text. `ClapgenError`, starting with `where`, if it is not JSON or is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ClapgenError(f"{where}: invalid JSON (nested too deeply).") from error
    except ValueError as error:
        raise ClapgenError(f"{where}: invalid JSON ({error}).") from error


def parse_labels(given: str, option: str = "--labels") -> list[str]:
    """The labels of a command-line option: separated by commas, or `@FILE` with one label per line.

    Raises:
        ClapgenError: as `read_text`; fewer than two labels, or one that comes twice.
    """
    pieces = read_lines(given[1:]) if given.startswith("@") else given.split(",")
    labels = [clean_prompt(piece, f"{option}: a label") for piece in pieces if piece.strip()]
    keys = [label_key(label) for label in labels]
    if repeated := [label for label, key in zip(labels, keys, strict=True) if keys.count(key) > 1]:
        raise ClapgenError(f"{option} lists '{min(repeated)}' more than once.")
    if len(labels) < 2:
        raise ClapgenError(f"{option} must name at least two labels, e.g. {option} rain,wind.")
    return labels


def as_utf8(name: str) -> str:
    """A file name that any file can hold: bytes that are not UTF-8 become readable escapes such as `\\udcff`."""
    return name.encode("utf-8", errors="backslashreplace").decode("utf-8")


def readable_label(label: str) -> str:
    """A label as words: `church_bells`, as ESC-50 writes it, is "church bells"."""
    return " ".join(label.replace("_", " ").split())


def label_key(label: str) -> str:
    """Equal for labels that differ only in underscores, spaces and case: they are one class."""
    return readable_label(label).casefold()


def distinct_labels(labels: Iterable[str]) -> list[str]:
    """The different classes among labels, in order, each as words."""
    names: dict[str, str] = {}
    for label in labels:
        names.setdefault(label_key(label), readable_label(label))
    return list(names.values())


def shown(value: Any) -> str:
    """A JSON value for an error message, at most 60 characters long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"
