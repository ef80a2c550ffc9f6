"""Latent diffusion: a transformer that turns noise into the latents of a sound, conditioned on a CLAP embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from generation.diffusion.config import DiffusionConfig
    from generation.diffusion.model import DiffusionTransformer

__all__ = ["DiffusionConfig", "DiffusionTransformer"]


def __getattr__(name: str) -> Any:  # on first use, so that the names of the samplers can be read without torch
    if name == "DiffusionConfig":
        from generation.diffusion.config import DiffusionConfig

        return DiffusionConfig
    if name == "DiffusionTransformer":
        from generation.diffusion.model import DiffusionTransformer

        return DiffusionTransformer
    raise AttributeError(f"module 'generation.diffusion' has no attribute '{name}'")
