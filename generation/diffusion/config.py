"""The configuration of the diffusion transformer: its sizes, and the weights that it was trained with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class DiffusionConfig:
    """`clap_hash` and `autoencoder_hash` identify the weights whose embeddings and latents it was trained on;
    `text_hash` and `encoder_hash` the shares of them that it depends on (`generation.compatibility`).

    `window_seconds` is the longest sound it was trained on; longer ones are generated in overlapping windows.
    `context_layers` of the blocks, evenly spread, attend to retrieved neighbours; 0 is a model without.
    """

    latent_dim: int = 64
    condition_dim: int = 256
    width: int = 256
    layers: int = 8
    heads: int = 4
    context_layers: int = 0
    max_seconds: float = 30.0
    window_seconds: float = 10.0
    clap_hash: str = ""
    autoencoder_hash: str = ""
    text_hash: str = ""
    encoder_hash: str = ""
