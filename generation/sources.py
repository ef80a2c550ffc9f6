"""Files that sounds are made with, known by their content. Imports no torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from clapgen.errors import ClapgenError


def checked_source(path: str, sha256: str, what: str) -> Path:
    """The file that a sound is made with; ClapgenError, starting with `what` and its path, if it is gone or another."""
    file = Path(path)
    if not file.is_file():
        raise ClapgenError(f"{what} {file} is gone; bring it back to make this sound.")
    if sha256_of(file) != sha256:
        raise ClapgenError(f"{what} {file} has changed since; this sound was to be made with what it was.")
    return file


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
