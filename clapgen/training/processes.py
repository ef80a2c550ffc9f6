"""The processes of one run under `accelerate launch`; a single one otherwise."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from datetime import timedelta

import torch
from torch import nn

from clapgen.errors import ClapgenError

LONGEST_WAIT = timedelta(hours=24)  # rank 0 evaluates while the others wait; NCCL's own limit is ten minutes


class Processes:
    """`rank` of this process among `count`, its `device`, and whatever they do together."""

    def __init__(self) -> None:
        try:
            from accelerate import Accelerator, InitProcessGroupKwargs
        except ImportError as error:
            raise ClapgenError('training needs accelerate: pip install "clapgen[train]"') from error
        # without its mixed precision, which is fixed for the life of a process
        accelerator = Accelerator(kwargs_handlers=[InitProcessGroupKwargs(timeout=LONGEST_WAIT)])
        self.wait = accelerator.wait_for_everyone
        self.device: torch.device = accelerator.device
        self.rank, self.count = accelerator.process_index, accelerator.num_processes

    def average_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Average gradients in one flat buffer. DDP would fix the order in which tasks call networks.

        Only parameters with a gradient take part, the same ones in every process: with a gradient of zero AdamW would
        keep moving a frozen network.
        """
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        torch.distributed.all_reduce(flat)
        flat /= self.count
        for parameter, piece in zip(parameters, flat.split([g.numel() for g in gradients]), strict=True):
            parameter.grad = piece.view_as(parameter)

    def broadcast_weights(self, networks: Iterable[nn.Module]) -> None:
        """Give every process the parameters and buffers of rank 0."""
        if self.count > 1:
            for network in networks:
                for tensor in itertools.chain(network.parameters(), network.buffers()):
                    torch.distributed.broadcast(tensor.data, 0)

    def agree(self, stop: bool, seconds: float) -> tuple[bool, float]:
        """Whether any process wants to stop, and the time of the slowest."""
        if self.count == 1:
            return stop, seconds
        values = torch.tensor([float(stop), seconds], device=self.device)
        torch.distributed.all_reduce(values, torch.distributed.ReduceOp.MAX)
        return bool(values[0] > 0), float(values[1])

    def mean(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Metrics averaged over the processes that have them."""
        if self.count == 1:
            return dict(metrics)
        everyone: list[dict[str, float]] = [{} for _ in range(self.count)]
        torch.distributed.all_gather_object(everyone, dict(metrics))
        names = dict.fromkeys(name for one in everyone for name in one)
        present = {name: [one[name] for one in everyone if name in one] for name in names}
        return {name: sum(values) / len(values) for name, values in present.items()}
