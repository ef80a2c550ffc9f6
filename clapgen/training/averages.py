"""Exponential moving averages of the weights in training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import torch
from torch import Tensor, nn


class MovingAverages:
    """Moving averages of parameters and buffers, as one state dict for each network.

    The decay rises from 0.1 at step 0 to `decay`, so that the initial weights are soon forgotten.
    """

    def __init__(self, networks: dict[str, nn.Module], decay: float) -> None:
        self.networks, self.decay = networks, decay
        self.states = {
            name: {k: v.detach().clone() for k, v in network.state_dict().items()} for name, network in networks.items()
        }

    def view(self) -> Mapping[str, Mapping[str, Tensor]]:
        """The averages by network, without a way to replace them; they change with every update."""
        return MappingProxyType({name: MappingProxyType(state) for name, state in self.states.items()})

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the averages towards the weights after training step `step`; integer buffers are copied."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, average in self.states.items():
            state = self.networks[name].state_dict()
            floats = [k for k, v in average.items() if v.is_floating_point()]
            if floats:
                torch._foreach_lerp_([average[k] for k in floats], [state[k] for k in floats], 1 - decay)
            for key in average.keys() - set(floats):
                average[key].copy_(state[key])

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """Use the averages as the weights of the networks; the weights in training are restored afterwards."""
        trained = {n: {k: v.detach().clone() for k, v in net.state_dict().items()} for n, net in self.networks.items()}
        try:
            for name, average in self.states.items():
                self.networks[name].load_state_dict(average)
            yield
        finally:
            for name, state in trained.items():
                self.networks[name].load_state_dict(state)
