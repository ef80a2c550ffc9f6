"""What the decoders share: the interface of an open sound file, and their errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from clapgen.errors import ClapgenError

BLOCK_SAMPLES = 1 << 20  # over all channels: how much decoded sound is in memory at a time


class Reader(Protocol):
    """An open sound file. `blocks` decodes it from the start, once."""

    sample_rate: int
    channels: int

    def seconds(self) -> float | None:
        """Length in seconds as far as it is known without decoding; reads the file to its end."""
        ...

    def blocks(self, first: int = 0) -> Iterator[np.ndarray]:
        """Float32 `(channels, samples)`, in [-1, 1] for integer formats, from sample `first` on."""
        ...


def truncated(name: str) -> ClapgenError:
    """The error for a file that ends early."""
    return ClapgenError(f"{name} is truncated: it is shorter than its header says; copy or download it again.")


def not_audio(name: str, error: BaseException) -> ClapgenError:
    """The error for a file that a decoder refuses."""
    return ClapgenError(f"{name} is not audio that can be read, or is damaged (decoder: {reason(error)}).")


def reason(error: BaseException) -> str:
    """A decoder's own words for an error."""
    return str(getattr(error, "strerror", None) or error).strip().rstrip(".")
