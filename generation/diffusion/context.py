"""Retrieved neighbours as context: what the diffusion transformer may look at besides its prompt (Re-AudioLDM)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from einops import rearrange
from torch import Tensor, nn

from generation.diffusion.attention import attend

QUARTERS = 4  # latent tokens of a neighbour, each the mean over a quarter of its time
TOKENS = 2 + QUARTERS
MOST_NEIGHBOURS = 10


@dataclass
class Neighbours:
    """Sounds that are near to a prompt, the nearest first, for each item of a batch.

    Attributes:
        audio, text: CLAP embeddings (batch, neighbours, condition_dim) of length 1; zeros where a sound has no text.
        latents: (batch, neighbours, QUARTERS, latent_dim), see `pooled`.
        mask: (batch, neighbours), false for neighbours to ignore.
    """

    audio: Tensor
    text: Tensor
    latents: Tensor
    mask: Tensor

    def map(self, change: Callable[[Tensor], Tensor]) -> Neighbours:
        """With `change` applied to each tensor."""
        return Neighbours(*(change(getattr(self, each.name)) for each in fields(self)))

    def hidden(self) -> Neighbours:
        """The same without any neighbour that counts."""
        return Neighbours(self.audio, self.text, self.latents, torch.zeros_like(self.mask))

    @staticmethod
    def joined(parts: list[Neighbours]) -> Neighbours:
        """One batch out of several, with the same number of neighbours each."""
        return Neighbours(*(torch.cat([getattr(part, each.name) for part in parts]) for each in fields(Neighbours)))


def pooled(latents: Tensor) -> Tensor:
    """The means (QUARTERS, latent_dim) of latents (frames, latent_dim) over the quarters of their time."""
    parts: Tensor = nn.functional.adaptive_avg_pool1d(latents.T[None].float(), QUARTERS)[0].T
    return parts


class NeighbourTokens(nn.Module):
    """`Neighbours` to tokens (batch, 1 + TOKENS · neighbours, width) and which of them count.

    The first is learned and always counts: it stands for no neighbours at all, so that attention without any is
    defined, and is what training without neighbours has seen.
    """

    def __init__(self, condition_dim: int, latent_dim: int, width: int) -> None:
        super().__init__()
        self.embeddings, self.latents = nn.Linear(condition_dim, width), nn.Linear(latent_dim, width)
        self.kind = nn.Parameter(0.02 * torch.randn(TOKENS, width))
        self.rank = nn.Parameter(0.02 * torch.randn(MOST_NEIGHBOURS, width))
        self.nothing = nn.Parameter(0.02 * torch.randn(width))

    def forward(self, neighbours: Neighbours | None, batch: int) -> tuple[Tensor, Tensor]:
        nothing = self.nothing.expand(batch, 1, -1)
        always = torch.ones(batch, 1, dtype=torch.bool, device=nothing.device)
        if neighbours is None:
            return nothing, always
        scale = neighbours.audio.shape[-1] ** 0.5  # as conditions are scaled
        given = torch.stack([neighbours.audio, neighbours.text], 2) * scale
        tokens = torch.cat([self.embeddings(given), self.latents(neighbours.latents)], 2)
        tokens = tokens + self.kind + self.rank[: tokens.shape[1], None]
        counts = neighbours.mask[..., None].repeat(1, 1, TOKENS)
        counts[..., 1] &= neighbours.text.abs().sum(-1) > 0
        return torch.cat([nothing, tokens.flatten(1, 2)], 1), torch.cat([always, counts.flatten(1)], 1)


class ContextAttention(nn.Module):
    """Attention from frames to context tokens. Its output starts at zero: untrained, the context changes nothing."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, tokens: Tensor, counts: Tensor) -> Tensor:
        """What is added to frames (batch, frames, width) by tokens (batch, tokens, width), of which some count."""
        q = rearrange(self.query(self.norm(x)), "b t (h d) -> b h t d", h=self.heads)
        k, v = rearrange(self.key_value(tokens), "b t (two h d) -> two b h t d", two=2, h=self.heads)
        attended = attend(q, k, v, counts[:, None, None, :])
        added: Tensor = self.out(rearrange(attended, "b h t d -> b t (h d)"))
        return added
