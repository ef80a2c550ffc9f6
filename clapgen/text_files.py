"""Text that users give in files: UTF-8, or an error that says where it is something else."""

from __future__ import annotations

from pathlib import Path

from clapgen.errors import ClapgenError


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file, without a byte-order mark if it has one.

    Raises:
        ClapgenError: the file cannot be read, or is not UTF-8 (named as file:line, with the byte).
    """
    try:
        content = Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise ClapgenError(f"cannot read {str(path)!r}: {reason}; give a text file.") from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ClapgenError(
            f"{path}:{line}: byte 0x{content[error.start]:02x} is not UTF-8 text; save the file as UTF-8 "
            "(iconv -f LATIN1 -t UTF-8, if it is Western European)."
        ) from error
