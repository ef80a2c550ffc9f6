"""Rows of a batch across the processes of `accelerate launch`."""

from __future__ import annotations

import torch
import torch.distributed.nn as distributed
from torch import Tensor


def process_rank() -> int:
    """Rank of this process; 0 if it trains alone."""
    return torch.distributed.get_rank() if _is_distributed() else 0


def gather_rows(tensor: Tensor) -> Tensor:
    """Concatenate (batch, …) over processes in rank order; gradients flow back to the process they came from."""
    if not _is_distributed():
        return tensor
    if not tensor.requires_grad:
        pieces = [torch.empty_like(tensor) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(pieces, tensor.contiguous())
        return torch.cat(pieces)
    return torch.cat(distributed.all_gather(tensor.contiguous()))


def _is_distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
