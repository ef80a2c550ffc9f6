"""Checkpoints of a training run: safetensors weights and optimizer states without pickled code, written atomically.

They are synced to disk before they get their name.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from clapgen.errors import ClapgenError

META_FILE = "meta.json"


def save_checkpoint(
    folder: Path,
    step: int,
    tensors: dict[str, dict[str, Tensor]],
    optimizers: dict[str, Any],
    meta: dict[str, Any],
    keep: int,
) -> Path:
    """Write `folder/step-N` atomically, then delete all but the `keep` newest checkpoints and what killed runs left.

    After a power cut the newest checkpoint is whole: its files are on disk before it gets its name.

    Raises:
        ClapgenError: it cannot be written, for example because the disk is full. Earlier checkpoints are kept.
    """
    target, temporary = folder / f"step-{step:08d}", folder / f".step-{step:08d}.tmp"
    flat = {
        f"{name}/{k}": v.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, state in tensors.items()
        for k, v in state.items()
    }
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        save_file(flat, temporary / "weights.safetensors")
        torch.save(optimizers, temporary / "optimizers.pt")
        (temporary / META_FILE).write_text(json.dumps(meta))
        for path in (*temporary.iterdir(), temporary):
            _sync(path)
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
        _sync(folder)
    except (OSError, RuntimeError, SafetensorError) as error:  # Python, torch and safetensors differ here
        shutil.rmtree(temporary, ignore_errors=True)
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ClapgenError(f"cannot write the checkpoint {target}: {reason}; is the disk full?") from error
    for old in (*sorted(folder.glob("step-*"))[:-keep], *folder.glob(".step-*.tmp")):
        shutil.rmtree(old)
    return target


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    if path.is_dir() and os.name == "nt":  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def newest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the highest step in `folder`, or None."""
    return max(folder.glob("step-*"), default=None)


def load_checkpoint(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any], dict[str, Any]]:
    """Read a checkpoint: tensors by network, optimizer states and meta, as given to `save_checkpoint`.

    Raises:
        ClapgenError: it is damaged.
    """
    try:
        weights = load_file(path / "weights.safetensors")
        optimizers = torch.load(path / "optimizers.pt", map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        raise _damaged(path) from error
    meta = read_meta(path)
    tensors: dict[str, dict[str, Tensor]] = {}
    for key, value in weights.items():
        name, _, inner = key.partition("/")
        tensors.setdefault(name, {})[inner] = value
    return tensors, optimizers, meta


def read_meta(path: Path) -> dict[str, Any]:
    """The meta of a checkpoint, without its weights. `ClapgenError` if it is damaged."""
    try:
        meta: dict[str, Any] = json.loads((path / META_FILE).read_text())
    except (OSError, ValueError) as error:
        raise _damaged(path) from error
    return meta


def _damaged(path: Path) -> ClapgenError:
    return ClapgenError(f"the checkpoint {path} is damaged; delete it to continue from an earlier one")
