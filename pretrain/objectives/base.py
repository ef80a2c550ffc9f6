"""Objectives of CLAP pretraining: small modules with one signature, picked by name in the recipe.

Each takes embeddings of length 1, `audio` and `text` (batch, dim), the logit scale (inverse temperature), and `groups`
(batch,): rows of one number describe each other too, as clips cut from one recording do. Under `accelerate launch` they
see the batches of all processes; their mean over processes has the gradient of one process on the joined batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.distributed.nn as distributed
from torch import Tensor, nn
from torch.nn import functional as F

from clapgen.errors import ClapgenError, nearest


class Objective(nn.Module, ABC):
    """A loss over the similarities of a batch; may hold parameters of its own."""

    @abstractmethod
    def forward(self, audio: Tensor, text: Tensor, logit_scale: Tensor, groups: Tensor) -> Tensor:
        """Scalar loss. `groups` (batch,) holds an integer a row; equal ones describe each other too."""


class InfoNCE(Objective):
    """Symmetric cross-entropy of pairs against the batch (Radford et al. 2021), the diagonal the only truth."""

    soft = False

    def forward(self, audio: Tensor, text: Tensor, logit_scale: Tensor, groups: Tensor) -> Tensor:
        all_audio, all_text = gather(audio), gather(text)
        rows = torch.arange(len(audio), device=audio.device) + len(audio) * rank()
        truth = F.one_hot(rows, len(all_audio)).to(audio.dtype)
        if self.soft:
            truth = (groups[:, None] == gather(groups)[None, :]).to(audio.dtype)
            truth = truth / truth.sum(1, keepdim=True)
        to_text = F.cross_entropy(logit_scale * audio @ all_text.T, truth)
        to_audio = F.cross_entropy(logit_scale * text @ all_audio.T, truth)
        return (to_text + to_audio) / 2


class SoftInfoNCE(InfoNCE):
    """InfoNCE with soft positives: rows of one group (one recording, say) share the truth (WavCaps; UniCL 2022)."""

    soft = True


class Sigmoid(Objective):
    """Every pair a yes-no question, with a learned bias (SigLIP, Zhai et al. 2023; GLAP). Scaled by 1/batch."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(-10.0))

    def forward(self, audio: Tensor, text: Tensor, logit_scale: Tensor, groups: Tensor) -> Tensor:
        same = groups[:, None] == gather(groups)[None, :]
        logits = logit_scale * audio @ gather(text).T + self.bias
        return -F.logsigmoid(torch.where(same, logits, -logits)).sum() / len(audio)


OBJECTIVES: dict[str, type[Objective]] = {"infonce": InfoNCE, "soft-infonce": SoftInfoNCE, "sigmoid": Sigmoid}


def make_objective(name: str) -> Objective:
    """The objective of this name. `ClapgenError` naming the nearest one if there is none."""
    if name not in OBJECTIVES:
        raise ClapgenError(f'there is no objective "{name}".{nearest(name, OBJECTIVES)} Known: {", ".join(OBJECTIVES)}')
    return OBJECTIVES[name]()


def rank() -> int:
    """This process's number among those that train together."""
    return torch.distributed.get_rank() if _is_distributed() else 0


def gather(tensor: Tensor) -> Tensor:
    """Concatenate (batch, …) over processes, in rank order; gradients flow back to the process they came from."""
    if not _is_distributed():
        return tensor
    if not tensor.requires_grad:
        pieces = [torch.empty_like(tensor) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(pieces, tensor.contiguous())
        return torch.cat(pieces)
    return torch.cat(distributed.all_gather(tensor.contiguous()))


def _is_distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
