"""Checkpoints of a training run: safetensors weights, optimizer states without pickled code, written whole or not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def save_checkpoint(
    folder: Path,
    step: int,
    tensors: dict[str, dict[str, Tensor]],
    optimizers: dict[str, Any],
    meta: dict[str, Any],
    keep: int,
) -> Path:
    """Write `folder/step-N` whole or not at all, then drop all but the `keep` newest."""
    from safetensors.torch import save_file

    target, temporary = folder / f"step-{step:08d}", folder / f".step-{step:08d}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    flat = {
        f"{name}/{k}": v.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, state in tensors.items()
        for k, v in state.items()
    }
    save_file(flat, temporary / "weights.safetensors")
    torch.save(optimizers, temporary / "optimizers.pt")
    (temporary / "meta.json").write_text(json.dumps(meta))
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
    for old in sorted(folder.glob("step-*"))[:-keep]:
        shutil.rmtree(old)
    return target


def newest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the highest step in `folder`, or None."""
    return max(folder.glob("step-*"), default=None)


def load_checkpoint(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any], dict[str, Any]]:
    """(tensors by network, optimizer states, meta) of a checkpoint that `save_checkpoint` wrote."""
    from safetensors.torch import load_file

    tensors: dict[str, dict[str, Tensor]] = {}
    for key, value in load_file(path / "weights.safetensors").items():
        name, _, inner = key.partition("/")
        tensors.setdefault(name, {})[inner] = value
    optimizers = torch.load(path / "optimizers.pt", map_location="cpu", weights_only=True)
    return tensors, optimizers, json.loads((path / "meta.json").read_text())
