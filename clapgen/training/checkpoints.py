"""Checkpoints of a training run: safetensors weights and optimizer states without pickled code, written atomically."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from clapgen.errors import ClapgenError


def save_checkpoint(
    folder: Path,
    step: int,
    tensors: dict[str, dict[str, Tensor]],
    optimizers: dict[str, Any],
    meta: dict[str, Any],
    keep: int,
) -> Path:
    """Write `folder/step-N` atomically, then delete all but the `keep` newest checkpoints.

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
        (temporary / "meta.json").write_text(json.dumps(meta))
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    except (OSError, RuntimeError, SafetensorError) as error:  # Python, torch and safetensors differ here
        shutil.rmtree(temporary, ignore_errors=True)
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ClapgenError(f"cannot write the checkpoint {target}: {reason}; is the disk full?") from error
    for old in sorted(folder.glob("step-*"))[:-keep]:
        shutil.rmtree(old)
    return target


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
        meta = json.loads((path / "meta.json").read_text())
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        raise ClapgenError(f"the checkpoint {path} is damaged; delete it to continue from an earlier one") from error
    tensors: dict[str, dict[str, Tensor]] = {}
    for key, value in weights.items():
        name, _, inner = key.partition("/")
        tensors.setdefault(name, {})[inner] = value
    return tensors, optimizers, meta
