"""Networks of a public checkpoint, loaded by transformers or diffusers: weights only, and all of them."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    import torch

_FAILURES = (
    OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, AttributeError, ImportError, SafetensorError,
    pickle.UnpicklingError,
)  # fmt: skip


def load_part(network_class: Any, folder: Path, **config: Any) -> Any:
    """A network in float32 and evaluation mode, from the folder of a part.

    safetensors are preferred; a .bin is read by torch with `weights_only`, so that no code in it can run.

    Args:
        network_class: of transformers or diffusers.
        config: entries that replace those of its configuration.

    Raises:
        ClapgenError: files are missing, damaged or contain code, or tensors are missing or have other shapes.
    """
    with reading(folder):
        network, report = network_class.from_pretrained(
            folder, output_loading_info=True, local_files_only=True, **_arguments(network_class), **config
        )
    lacking = sorted(str(key) for key in report["missing_keys"])
    lacking += [str(key[0] if isinstance(key, (tuple, list)) else key) for key in report.get("mismatched_keys", ())]
    if lacking:
        raise ClapgenError(
            f"{folder} does not fit its configuration: {len(lacking)} tensors of {network_class.__name__} are missing "
            f"or have other shapes, such as {lacking[0]}. Download it again."
        )
    return network.eval().float().requires_grad_(False)


def load_other(loader: Any, folder: Path) -> Any:
    """A tokenizer, feature extractor or scheduler, by the `from_pretrained` of its class.

    Raises:
        ClapgenError: files are missing or damaged.
    """
    with reading(folder):
        return loader.from_pretrained(folder, local_files_only=True)


def _arguments(network_class: Any) -> dict[str, Any]:
    import torch

    if network_class.__module__.startswith("diffusers"):
        from diffusers.utils import is_accelerate_available

        return {"low_cpu_mem_usage": is_accelerate_available(), "torch_dtype": torch.float32}
    return {"trust_remote_code": False, "dtype": torch.float32}


def place(network: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """The network on a device and in a number format, without the remarks of diffusers about the latter."""
    with _quiet():
        return network.to(device, dtype)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what the libraries raise for a checkpoint that they cannot read into one sentence, and keep them quiet."""
    try:
        with _quiet():
            yield
    except ClapgenError:
        raise
    except _FAILURES as error:
        if any(isinstance(each, pickle.UnpicklingError) for each in _chain(error)):
            raise ClapgenError(
                f"{path} contains more than weights, or is damaged; it is not read, because it could run code."
            ) from None
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ClapgenError(f"{path} cannot be loaded: {reason} It may be damaged; download it again.") from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars and remarks of transformers and diffusers, which would mix with ours."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    loggers = [logging.getLogger(name) for name in ("transformers", "diffusers")]
    levels = [logger.level for logger in loggers]
    bars = of_transformers.is_progress_bar_enabled()
    of_transformers.disable_progress_bar()
    of_diffusers.disable_progress_bar()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            of_transformers.enable_progress_bar()
        of_diffusers.enable_progress_bar()
