"""Files shared with other programs: written completely or not at all, safely named, locked between processes."""

import contextlib
import errno
import os
import re
import secrets
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

from clapgen.errors import ClapgenError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space or choose another folder",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another folder",
    errno.EFBIG: "the file would be larger than this system allows; choose another folder or a shorter sound",
    errno.EACCES: "permission denied; choose a folder you can write to",
    errno.EPERM: "permission denied; choose a folder you can write to",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOTDIR: "part of its path is a file, not a folder; choose another folder",
    errno.EEXIST: "part of its path is a file, not a folder; choose another folder",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path next to `path`; rename it to `path` if the block succeeds, delete it if the block fails.

    The temporary file is hidden, empty, and has the suffix of `path`. Missing folders are created.

    Raises:
        ClapgenError: `path` exists and `overwrite` is false (also if another process has created it in the meantime;
            its file is kept), the folder is not writable, or the disk is full.
    """
    target = Path(path)
    if not overwrite and os.path.lexists(target):
        raise _exists(target)
    if target.is_dir():
        raise ClapgenError(f"cannot write {target}: it is a folder; give a file name inside it.")
    with _named_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".{target.stem[:20]}.{secrets.token_hex(6)}.part{target.suffix}"
        try:
            temporary.touch(exist_ok=False)
            yield temporary
            _flush_to_disk(temporary)
            if overwrite:
                os.replace(temporary, target)
            else:
                _rename_to_free_name(temporary, target)
        except ClapgenError as error:  # the writer knows only the temporary name; users know the other one
            raise ClapgenError(str(error).replace(str(temporary), str(target))) from error
        finally:
            temporary.unlink(missing_ok=True)


def slug(text: str, max_length: int = 60) -> str:
    """Turn any text into a file name: lower-case words joined by `-`, without punctuation, control characters or emoji.

    Letters of every script are kept. Text without letters or digits becomes `"sound"`.
    """
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).lower())
    name = "-".join(words)
    if len(name) > max_length:
        cut = name[: max_length + 1].rpartition("-")[0]
        name = cut if len(cut) > max_length // 2 else name[:max_length]
    return name or "sound"


def _exists(target: Path) -> ClapgenError:
    return ClapgenError(f"{target} already exists; choose another name, or replace it with --force (overwrite=True).")


@contextlib.contextmanager
def _named_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _REASONS:
            raise
        raise ClapgenError(f"cannot write {target}: {_REASONS[error.errno]}.") from error


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename_to_free_name(temporary: Path, target: Path) -> None:
    """Rename without replacing: a hard link fails if the name is taken, while a rename would overwrite the file."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise _exists(target) from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        # No hard links here (FAT, some network shares): create the file to claim the name, then replace it.
        try:
            target.touch(exist_ok=False)
        except FileExistsError:
            raise _exists(target) from None
        os.replace(temporary, target)


@contextlib.contextmanager
def exclusive_lock(path: Path, busy: Callable[[str], None]) -> Iterator[bool]:
    """Hold the lock file `path`, which is created, while the block runs.

    The operating system releases the lock when the process ends, however it ends.

    Args:
        busy: called with the name of the holder if another process has the lock. It may raise; if it returns, this
            process waits for the lock.

    Yields:
        Whether the lock is held: False where the file system has no locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield _acquire(descriptor, busy)
    finally:
        os.close(descriptor)  # and with it the lock


def _acquire(descriptor: int, busy: Callable[[str], None]) -> bool:
    if fcntl is None:
        return False
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy(os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return False
    import socket  # here alone: every command imports this module

    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
    return True
