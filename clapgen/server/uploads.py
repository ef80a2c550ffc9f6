"""Sounds that clients send: on disk while they are worked on, then deleted; known to clients by their names alone."""

from __future__ import annotations

import os
import shutil
import tempfile
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from clapgen.cli.options import make_writable_folder
from clapgen.server.problems import Problem

PREFIX = "clapgen-serve-"
LONGEST_NAME = 100


@dataclass(frozen=True)
class Upload:
    """A sound that was sent: where it is now, and its name for the client."""

    path: Path
    name: str

    @property
    def hidden(self) -> tuple[str, str]:
        """The path of the server, and what to show instead of it."""
        return str(self.path), self.name

    def delete(self) -> None:
        """Remove it from the disk."""
        self.path.unlink(missing_ok=True)


class Uploads:
    """A folder of its own for the uploads of this process; those that a killed server left are deleted."""

    def __init__(self, data: Path | None = None) -> None:
        """ClapgenError if the folder cannot be written."""
        parent = data or Path(tempfile.gettempdir())
        make_writable_folder(parent)
        for left in parent.glob(f"{PREFIX}*"):
            if not _is_alive(left.name):
                shutil.rmtree(left, ignore_errors=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent))

    async def keep(self, file: UploadFile) -> Upload:
        """Put a sent file into the folder. Raises `Problem` if it is empty."""
        name = public_name(file.filename or "")
        descriptor, path = tempfile.mkstemp(dir=self.folder)
        upload = Upload(Path(path), name)
        with os.fdopen(descriptor, "wb") as target:
            await run_in_threadpool(shutil.copyfileobj, file.file, target, 1 << 20)
            size = target.tell()
        if not size:
            upload.delete()
            raise Problem(422, f"{name} is an empty file (0 bytes).")
        return upload

    def keep_bytes(self, content: bytes, name: str) -> Upload:
        """Put a sound that was made here into the folder."""
        descriptor, path = tempfile.mkstemp(dir=self.folder)
        with os.fdopen(descriptor, "wb") as target:
            target.write(content)
        return Upload(Path(path), name)

    def close(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def public_name(given: str) -> str:
    """The last part of a file name, without what cannot be printed, and not too long."""
    name = given.replace("\\", "/").rpartition("/")[2]
    name = "".join(c for c in name if unicodedata.category(c)[0] != "C").strip()
    stem, dot, suffix = name.rpartition(".")
    if len(name) > LONGEST_NAME:
        name = stem[: LONGEST_NAME - len(suffix) - 1] + dot + suffix if len(suffix) < 10 else name[:LONGEST_NAME]
    return name if name.strip(".") else "sound"


def _is_alive(name: str) -> bool:
    pid = name.removeprefix(PREFIX).partition("-")[0]
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
