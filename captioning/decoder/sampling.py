"""Nucleus sampling whose chance is one row's own: a seed means the same caption whatever else is in the batch."""

from __future__ import annotations

import torch
from torch import Tensor

from captioning.decoder.config import Decoding
from clapgen.training.seeds import step_seed


class NucleusNoise:
    """A logits processor after which the likeliest token is a draw from the nucleus (Holtzman et al. 2020).

    Logits are divided by the temperature, what is outside the likeliest `top_p` is taken out, and Gumbel noise is
    added: the largest sum is a draw from the softmax. The noise of candidate c at step t is a function of (seed, c, t)
    alone, drawn on the CPU, where `multinomial` over a batch would give each row chance that depends on the others.

    Rows of a batch are the candidates of the first embedding, then those of the second, and so on.
    """

    def __init__(self, decoding: Decoding, count: int) -> None:
        self.top_p, self.temperature = decoding.top_p, decoding.temperature
        self.generators = [torch.Generator().manual_seed(step_seed(decoding.seed, c, 0)) for c in range(count)]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (rows, tokens) to scores of which the largest is drawn."""
        logits = scores.float() / self.temperature
        ordered, places = logits.sort(descending=True, stable=True)
        probabilities = ordered.softmax(-1)
        outside = probabilities.cumsum(-1) - probabilities >= self.top_p  # the token that crosses the line is inside
        logits = logits.masked_fill(outside.scatter(-1, places, outside), -torch.inf)
        uniform = torch.stack([torch.rand(scores.shape[-1], generator=g) for g in self.generators])
        gumbel = -(-uniform.clamp(min=1e-20).log()).clamp(min=1e-20).log()
        return logits + gumbel.repeat(len(scores) // len(gumbel), 1).to(logits.device)
