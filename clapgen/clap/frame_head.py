"""The head that turns the similarity of a frame and a sentence into a calibrated probability that the sound is there.

Wu et al. 2025, "FLAM: Frame-Wise Language-Audio Modeling" (arXiv 2505.05335).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FIRST_ALPHA, FIRST_BETA = 10.0, -8.0  # before training, for every sentence


class FrameHead(nn.Module):
    """A scale and a bias for each sentence: h = alpha(text) * cosine(frame, text) + beta(text).

    `beta` is the log-odds that the sound of a sentence is in a frame, before anything is known about the frame. Rare
    sounds have a low one. The probability that is given out makes up for it: 0.5 where a frame says nothing.

    Args:
        dim: width of the embedding space.
        width: of the hidden layer of both networks.
    """

    def __init__(self, dim: int, width: int = 128) -> None:
        super().__init__()
        self.dim = dim
        self.log_scale = _constant_at_first(dim, width, math.log(FIRST_ALPHA))
        self.bias = _constant_at_first(dim, width, FIRST_BETA)

    def alpha(self, texts: Tensor) -> Tensor:
        """Scale (texts,) of each sentence, positive, from embeddings (texts, dim) of length 1."""
        scale: Tensor = self.log_scale(texts)
        return scale.squeeze(-1).exp()

    def beta(self, texts: Tensor) -> Tensor:
        """Bias (texts,) of each sentence, in log-odds, from embeddings (texts, dim) of length 1."""
        bias: Tensor = self.bias(texts)
        return bias.squeeze(-1)

    def forward(self, frames: Tensor, texts: Tensor) -> Tensor:
        """Log-odds h (…, frames, texts) from frame embeddings (…, frames, dim) and text embeddings (texts, dim)."""
        return self.alpha(texts) * (frames @ texts.T) + self.beta(texts)

    def probability(self, frames: Tensor, texts: Tensor) -> Tensor:
        """σ(h) / (σ(h) + σ(beta)), (…, frames, texts), as if each sound were in half of all frames."""
        log_odds = F.logsigmoid(self(frames, texts)) - F.logsigmoid(self.beta(texts))
        return torch.sigmoid(log_odds)


def _constant_at_first(dim: int, width: int, value: float) -> nn.Sequential:
    """A network from (…, dim) to (…, 1) whose output is `value` until it is trained."""
    last = nn.Linear(width, 1)
    nn.init.zeros_(last.weight)
    nn.init.constant_(last.bias, value)
    return nn.Sequential(nn.Linear(dim, width), nn.GELU(), last)
