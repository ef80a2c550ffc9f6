"""Weights in pickles (.pt, .pth, .ckpt), as authors publish them: read without running code, converted to safetensors.

A pickle can run code when it is opened. torch's `weights_only` reader builds nothing but tensors, plain Python values
and what `ALLOWED` names; anything else in a file is refused before it is called.
"""

from __future__ import annotations

import os
import pickle
import secrets
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clapgen.embedders.checkpoints import pickles_in
from clapgen.errors import ClapgenError
from clapgen.files import slug

# Besides tensors: the numbers of numpy that LAION's checkpoints hold next to their weights (losses, epochs). They are
# built from a type and bytes, and can call nothing.
_scalar = np.float64(0).__reduce__()[0]  # builds a number from its type and bytes
ALLOWED: list[Any] = [
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(getattr(np.dtypes, f"{kind}DType") for kind in ("Float64", "Float32", "Int64", "Int32")),
]
LAYOUT_VERSION = 1  # raise it when conversion gives something else for the same file
WEIGHTS_FILE = "model.safetensors"
_AGAIN = "Download it again."

State = dict[str, Tensor]


def read_pickle(file: Path) -> State:
    """The tensors of a checkpoint by name, mapped from disk rather than read where its format allows.

    They may be at the top, or under "state_dict" or "model"; the prefix "module." of parallel training is removed.

    Raises:
        ClapgenError: it cannot be read, is truncated, holds more than tensors, or has none.
    """
    try:
        with torch.serialization.safe_globals(ALLOWED):
            found = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file) or None)
    except pickle.UnpicklingError as error:
        named = _refused_name(str(error))
        if named:
            raise ClapgenError(
                f"{file} is refused: it holds {named}, and not only weights; it could run code."
            ) from None
        raise ClapgenError(
            f"{file} is refused: it is damaged, or is a pickle of something else than weights."
        ) from None
    except OSError as error:
        raise ClapgenError(f"{file} cannot be read: {error.strerror or error}.") from error
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise ClapgenError(f"{file} is truncated or damaged, or is not a checkpoint. {_AGAIN}") from None
    for key in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    items = found.items() if isinstance(found, dict) else ()
    state = {name: tensor for name, tensor in items if isinstance(tensor, Tensor)}
    if not state:
        raise ClapgenError(f"{file} has no weights by name in it.")
    return {str(name).removeprefix("module."): tensor for name, tensor in state.items()}


def sole_pickle(path: Path) -> Path:
    """The checkpoint file that a path stands for: itself, or the only one in it.

    Raises:
        ClapgenError: it is a folder with several, or none.
    """
    if path.is_file():
        return path
    files = pickles_in(path)
    if len(files) == 1:
        return files[0]
    if not files:
        raise ClapgenError(f"{path} holds no checkpoint: neither config.json nor a file that ends in .pt or .pth.")
    names = ", ".join(file.name for file in files[:3])
    raise ClapgenError(f"{path} holds {len(files)} checkpoints ({names}, …); give one of them, as {files[0]}.")


def converted(file: Path, write: Callable[[State, Path], None]) -> Path:
    """The folder in the user's cache with a checkpoint in our layout, converted when it is first used.

    Args:
        write: called with the tensors and a new folder, into which it puts config.json and model.safetensors.

    Raises:
        ClapgenError: as `read_pickle`; or the cache cannot be written.
    """
    from clapgen.embedders.cache import default_cache_folder
    from clapgen.embedders.file_identity import cache_key

    status = file.stat()
    state = [str(file.resolve()), status.st_size, status.st_mtime_ns, status.st_ino, LAYOUT_VERSION]
    target = default_cache_folder() / "checkpoints" / f"{slug(file.stem)}-{cache_key('checkpoint', state).hex()[:12]}"
    if (target / WEIGHTS_FILE).is_file():
        return target
    tensors = read_pickle(file)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        temporary.mkdir(parents=True)
        write(tensors, temporary)
        os.replace(temporary, target)
    except OSError as error:
        if not (target / WEIGHTS_FILE).is_file():  # another process may have been faster
            raise ClapgenError(
                f"{file} cannot be converted into {target.parent}: {error.strerror or error}; set CLAPGEN_CACHE to a "
                "folder with room for it."
            ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _refused_name(message: str) -> str:
    """What torch refused to build, such as "posix.system", from its message; "" if it was not that."""
    for start in ("Unsupported global: GLOBAL ", "Unsupported class "):
        if start in message:
            return message.partition(start)[2].split()[0].strip("`'\".,")
    return ""
