"""Files that appear whole or not at all, and names that are safe."""

import contextlib
import errno
import os
import re
import secrets
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from clapgen.errors import ClapgenError

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space or choose another folder",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another folder",
    errno.EFBIG: "the file would be larger than this system allows; choose another folder or a shorter sound",
    errno.EACCES: "permission denied; choose a folder you may write to",
    errno.EPERM: "permission denied; choose a folder you may write to",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOTDIR: "part of its path is a file, not a folder; choose another folder",
    errno.EEXIST: "part of its path is a file, not a folder; choose another folder",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block succeeds, remove it when it fails.

    The temporary file keeps the suffix of `path`, exists already (empty), and is hidden. Missing folders are made.

    Raises:
        ClapgenError: `path` exists and `overwrite` is false (also when another process made it meanwhile, whose
            file then stays), the folder cannot be written, or the disk is full.
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
        except ClapgenError as error:  # of a writer that knows the temporary name only
            raise ClapgenError(str(error).replace(str(temporary), str(target))) from error
        finally:
            temporary.unlink(missing_ok=True)


def slug(text: str, max_length: int = 60) -> str:
    """Turn any text into a file name: lower-case words joined by `-`, no separators, control characters or emoji.

    Letters of every script stay. Text without any letter or digit gives `"sound"`.
    """
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).lower())
    name = "-".join(words)
    if len(name) > max_length:
        cut = name[: max_length + 1].rpartition("-")[0]
        name = cut if len(cut) > max_length // 2 else name[:max_length]
    return name or "sound"


def _exists(target: Path) -> ClapgenError:
    return ClapgenError(f"{target} exists already; choose another name, or replace it with --force (overwrite=True).")


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
    """Rename without replacing: a hard link fails when the name is taken, where a rename would clobber it."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise _exists(target) from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        # File systems without hard links (FAT, some network shares): claim the name, then replace our own claim.
        try:
            target.touch(exist_ok=False)
        except FileExistsError:
            raise _exists(target) from None
        os.replace(temporary, target)
