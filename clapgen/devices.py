"""Where and with what a model computes: devices by name (`auto`, `cpu`, `mps`, `cuda`, `cuda:1`), library versions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    import torch

DEVICES = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def check_device(name: str) -> None:
    """Refuse a device name that cannot exist, without importing torch. Raises `ClapgenError`."""
    if not DEVICES.fullmatch(name):
        raise ClapgenError(f"--device must be auto, cpu, mps, cuda or cuda:N, not '{name}'.")


def choose_device(name: str | torch.device = "auto") -> torch.device:
    """The device with this name; "auto" prefers a CUDA GPU, then Apple's GPU, then the CPU.

    Raises:
        ClapgenError: there is no device of this name, or this machine, or this build of torch, has none.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ClapgenError(f"there is no device {name!r}; choose auto, cpu, mps, cuda or cuda:N.") from error
    use_cpu = 'use --device cpu (device="cpu" in Python)'
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ClapgenError(f"cannot compute on mps: this torch sees no Apple GPU; {use_cpu}.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ClapgenError(
            f"cannot compute on {name}: this torch sees {torch.cuda.device_count()} CUDA GPUs; {use_cpu}, "
            "or see `clapgen doctor`."
        )
    return device


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16; without them it is several times slower than float32."""
    import torch

    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(cpu_bfloat16())


def cpu_bfloat16() -> str:
    """The CPU's instructions that make bfloat16 fast: "amx_bf16", "avx512_bf16" or "bf16" (Arm); empty if it has none.

    On Intel's CPUs "avx512_bf16" alone is half as fast as float32 (2048 x 2048 matrices, 3 x 3 convolutions), so it
    counts on AMD's only.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return ""
    lines = [line for line in text.splitlines() if line.lower().startswith(("flags", "features"))]
    found = lines[0].split() if lines else []
    names = ("amx_bf16", *(["avx512_bf16"] if "AuthenticAMD" in text else []), "bf16")
    return next((name for name in names if name in found), "")


@contextmanager
def inference(*networks: torch.nn.Module, gradients: bool = False) -> Iterator[None]:
    """Run `networks` the same way wherever they are called from.

    Whatever the caller has set is put aside for the block: training mode (dropout, and batch statistics, which would be
    overwritten), gradients (unless `gradients` keeps them), an outer autocast, torch's default dtype and device.
    """
    import torch

    training = [module for network in networks for module in network.modules() if module.training]
    dtype = torch.get_default_dtype()
    for module in training:
        module.training = False
    torch.set_default_dtype(torch.float32)
    try:
        with ExitStack() as stack:
            if not gradients:
                stack.enter_context(torch.no_grad())
            stack.enter_context(torch.device("cpu"))
            for kind in ("cpu", "cuda", "mps"):
                if torch.is_autocast_enabled(kind):
                    stack.enter_context(torch.autocast(kind, enabled=False))
            yield
    finally:
        torch.set_default_dtype(dtype)
        for module in training:
            module.training = True


def circumstances(device: torch.device) -> dict[str, Any]:
    """What may change the last bits of a result from one machine to another, for sidecars."""
    import torch

    return {
        "device": str(device),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "versions": library_versions(),
    }


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
