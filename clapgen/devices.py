"""Where and with what a model computes: devices by name (`auto`, `cpu`, `mps`, `cuda`, `cuda:1`), library versions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    import torch

DEVICES = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def check_device(name: str) -> None:
    """Refuse a device name that cannot exist, without importing torch. Raises `ClapgenError`."""
    if not DEVICES.fullmatch(name):
        raise ClapgenError(f"--device must be auto, cpu, mps, cuda or cuda:N, not '{name}'.")


def choose_device(name: str = "auto") -> torch.device:
    """The device with this name; "auto" prefers a CUDA GPU, then Apple's GPU, then the CPU.

    Raises:
        ClapgenError: this machine, or this build of torch, has no such device.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ClapgenError("--device mps: this torch sees no Apple GPU; use --device cpu.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ClapgenError(
            f"--device {name}: this torch sees {torch.cuda.device_count()} CUDA GPUs; use --device cpu, "
            "or see `clapgen doctor`."
        )
    return device


@contextmanager
def inference(*networks: torch.nn.Module) -> Iterator[None]:
    """Run `networks` the same way wherever they are called from.

    Whatever the caller has set is put aside for the block: training mode (dropout, and batch statistics, which would be
    overwritten), gradients, an outer autocast, torch's default dtype and default device.
    """
    import torch

    training = [module for network in networks for module in network.modules() if module.training]
    dtype = torch.get_default_dtype()
    for module in training:
        module.training = False
    torch.set_default_dtype(torch.float32)
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(torch.device("cpu"))
            for kind in ("cpu", "cuda"):
                if torch.is_autocast_enabled(kind):
                    stack.enter_context(torch.autocast(kind, enabled=False))
            yield
    finally:
        torch.set_default_dtype(dtype)
        for module in training:
            module.training = True


def library_versions() -> dict[str, str]:
    """Versions of clapgen, torch, numpy and Python, for sidecars: another version may change a result's last bits."""
    import platform

    import numpy
    import torch

    from clapgen import __version__

    return {
        "clapgen": __version__,
        "torch": str(torch.__version__),
        "numpy": numpy.__version__,
        "python": platform.python_version(),
    }
