"""`load_generator`: any generator by name, clapgen's own or a public one."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from clapgen.devices import choose_device
from clapgen.errors import ClapgenError
from clapgen.model_store import Model, ModelFolder, open_model
from generation.public.checkpoints import Checkpoint, is_public, open_checkpoint
from generation.requests import DTYPES

if TYPE_CHECKING:
    import torch

    from generation.generator import Generator


def find_generator(name: Model | Checkpoint) -> ModelFolder | Checkpoint:
    """Where a generator is: a model folder of clapgen, or a public checkpoint. Loads no weights.

    Raises:
        ClapgenError: there is none of this name, or it is of a kind that clapgen cannot run.
    """
    if isinstance(name, Checkpoint):
        return name
    if isinstance(name, ModelFolder) or not is_public(str(name)):
        return open_model(name)
    return open_checkpoint(str(name))


def load_generator(
    name: Model | Checkpoint = "default", device: str | torch.device = "cpu", dtype: str | None = None
) -> Generator:
    """Load a generator: a clapgen model by name or folder, or a public one by its folder or its name on the hub.

    Args:
        dtype: of the largest network, "bfloat16" or "float32". By default float32 for public models, as their authors'
            code computes on a CPU, and for ours bfloat16 where it is fast.

    Raises:
        ClapgenError: an unknown model, missing or damaged files, a device that is not there.
    """
    import torch

    if dtype is not None and dtype not in DTYPES:
        raise ClapgenError(f'unknown dtype "{dtype}"; choose {" or ".join(DTYPES)}')
    found = find_generator(name)
    if isinstance(found, ModelFolder):
        from generation.pipeline import TextToAudio

        return TextToAudio.from_pretrained(found, device, dtype)
    device = choose_device(device)
    return _class_of(found)(found, device, getattr(torch, dtype or "float32"))


def _class_of(checkpoint: Checkpoint) -> Any:
    module, _, name = checkpoint.kind.module.partition(":")
    try:
        return getattr(importlib.import_module(f"generation.public.{module}"), name)
    except ImportError as error:
        raise ClapgenError(
            f"{checkpoint.name} needs diffusers and transformers, which cannot be imported: "
            f"{' '.join(str(error).split())[:160]} `clapgen doctor` says more."
        ) from error
