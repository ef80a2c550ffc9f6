"""Nucleus sampling with noise per row: a seed gives the same caption regardless of the rest of the batch."""

from __future__ import annotations

import torch
from torch import Tensor

from captioning.decoding import Decoding
from clapgen.training.seeds import step_seed


class NucleusNoise:
    """A logits processor whose most likely token is a sample from the nucleus (Holtzman et al. 2020).

    Logits are divided by the temperature, tokens outside the most likely `top_p` are removed, and Gumbel noise is
    added, so that the largest sum is a sample from the softmax. The noise of candidate c at step t depends only on
    (seed, c, t) and is drawn on the CPU; with `multinomial` over a batch, a row's samples would depend on other rows.

    The rows of a batch are the candidates of the first embedding, then those of the second, and so on.
    """

    def __init__(self, decoding: Decoding, candidates: int) -> None:
        self.top_p, self.temperature = decoding.top_p, decoding.temperature
        self.generators = [torch.Generator().manual_seed(step_seed(decoding.seed, c, 0)) for c in range(candidates)]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Noisy scores (rows, tokens) for scores (rows, tokens); the largest of each row is the sample."""
        logits = scores.float() / self.temperature
        ordered, tokens = logits.sort(descending=True, stable=True)
        probabilities = ordered.softmax(-1)
        outside = probabilities.cumsum(-1) - probabilities >= self.top_p  # the token that crosses top_p is kept
        logits = logits.masked_fill(outside.scatter(-1, tokens, outside), -torch.inf)
        uniform = torch.stack([torch.rand(scores.shape[-1], generator=g) for g in self.generators])
        gumbel = -(-uniform.clamp(min=1e-20).log()).clamp(min=1e-20).log()
        return logits + gumbel.repeat(len(scores) // len(gumbel), 1).to(logits.device)
