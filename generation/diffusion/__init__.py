"""Latent diffusion: a transformer that turns noise into the latents of a sound, told what by a CLAP embedding."""

from generation.diffusion.config import DiffusionConfig
from generation.diffusion.model import DiffusionTransformer

__all__ = ["DiffusionConfig", "DiffusionTransformer"]
