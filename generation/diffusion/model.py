"""The diffusion transformer: predicts the velocity of latents, conditioned on time, CLAP embedding and duration.

Trained by flow matching (Lipman et al. 2022; rectified flow, Liu et al. 2022): x_t = (1 - t) x_0 + t noise, and the
network predicts noise - x_0. The paths are nearly straight, so few steps suffice, and no noise schedule needs tuning.
The blocks are DiT's (Peebles & Xie 2022): adaLN-zero, with rotary positions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clapgen.errors import ClapgenError
from clapgen.model_store import WEIGHTS_FILE, Model, fill_module, open_model, read_part
from generation.diffusion.attention import Attention, rotation_angles
from generation.diffusion.config import DiffusionConfig
from generation.diffusion.context import ContextAttention, Neighbours, NeighbourTokens

EARLIER = "context_projection."  # weights of earlier models, which nothing trained
NOT_TRAINED = (
    "this diffusion model was not trained with neighbours (diffusion.context_layers=0); train one with "
    "`clapgen train diffusion --config retrieval`, or use --neighbour-strength, which works with any model."
)


class Block(nn.Module):
    """Attention and MLP, each shifted, scaled and gated by the condition (adaLN-zero); between them, attention to the
    context, if the block has any."""

    def __init__(self, width: int, heads: int, context: bool = False) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False)
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        self.context = ContextAttention(width, heads) if context else None

    def forward(
        self,
        x: Tensor,
        condition: Tensor,
        rotation: tuple[Tensor, Tensor],
        attention_mask: Tensor | None,
        context: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition)[:, None].chunk(6, dim=-1)
        x = x + gate1 * self.attention(self.norm1(x) * (1 + scale1) + shift1, rotation, attention_mask)
        if self.context is not None and context is not None:
            x = x + self.context(x, *context)
        return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)


class DiffusionTransformer(nn.Module):
    """Velocity of latents (batch, latent_dim, frames) at a time in [0, 1], 1 being pure noise."""

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.input = nn.Linear(config.latent_dim, width)
        self.time_embedding = _embedding_mlp(width)
        self.duration_embedding = _embedding_mlp(width)
        self.condition_embedding = nn.Sequential(
            nn.Linear(config.condition_dim, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.null_condition = nn.Parameter(torch.zeros(config.condition_dim))
        attending = {
            round((i + 1) * config.layers / max(1, config.context_layers)) for i in range(config.context_layers)
        }
        self.blocks = nn.ModuleList(
            Block(width, config.heads, context=number in attending) for number in range(1, config.layers + 1)
        )
        self.neighbour_tokens = (
            NeighbourTokens(config.condition_dim, config.latent_dim, width) if config.context_layers else None
        )
        self.final_norm = nn.LayerNorm(width, elementwise_affine=False)
        self.final_modulation = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, config.latent_dim)
        for layer in (self.final_modulation, self.output):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    @classmethod
    def from_pretrained(cls, model: Model) -> DiffusionTransformer:
        """Load the diffusion part of a model, in evaluation mode. `ClapgenError` if it is missing or damaged."""
        folder = open_model(model)
        config, state = read_part(folder, "diffusion", DiffusionConfig)
        network = cls(config)
        known = {name: value for name, value in state.items() if not name.startswith(EARLIER)}
        fill_module(network, known, folder.path / "diffusion" / WEIGHTS_FILE)
        return network.eval()

    def forward(
        self,
        latents: Tensor,
        time: Tensor,
        condition: Tensor,
        seconds: Tensor,
        mask: Tensor | None = None,
        neighbours: Neighbours | None = None,
    ) -> Tensor:
        """Velocity (batch, latent_dim, frames).

        Args:
            latents: noisy latents (batch, latent_dim, frames).
            time: (batch,) in [0, 1].
            condition: CLAP embeddings (batch, condition_dim) of length 1, or `null_condition` for none; scaled by
                sqrt(condition_dim) inside.
            seconds: (batch,) duration of the sound.
            mask: (batch, frames), false for padding; None if there is none.
            neighbours: retrieved sounds to attend to; None for none.

        Raises:
            ClapgenError: there are neighbours, and the network was built without attention to them.
        """
        x = self.input(latents.transpose(1, 2))
        frames = x.shape[1]
        embedding = (
            self.time_embedding(sinusoidal_features(time, self.config.width))
            + self.duration_embedding(sinusoidal_features(seconds / self.config.max_seconds, self.config.width))
            + self.condition_embedding(condition * math.sqrt(self.config.condition_dim))
        )
        embedding = F.silu(embedding)
        context = None
        if self.neighbour_tokens is not None:
            context = self.neighbour_tokens(neighbours, len(x))
        elif neighbours is not None:
            raise ClapgenError(NOT_TRAINED)
        attention_mask = None if mask is None else mask[:, None, None, :]
        rotation = rotation_angles(frames, self.config.width // self.config.heads, x)
        for block in self.blocks:
            x = block(x, embedding, rotation, attention_mask, context)
        shift, scale = self.final_modulation(embedding)[:, None].chunk(2, dim=-1)
        return self.output(self.final_norm(x) * (1 + scale) + shift).transpose(1, 2)


def sinusoidal_features(values: Tensor, width: int) -> Tensor:
    """(batch,) in [0, 1] to (batch, width) sines and cosines, periods from 1/1000 up (Vaswani et al. 2017)."""
    frequencies = torch.exp(-math.log(10_000.0) * torch.arange(width // 2, device=values.device) / (width // 2))
    angles = 1000.0 * values[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def _embedding_mlp(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
