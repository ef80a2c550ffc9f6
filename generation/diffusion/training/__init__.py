"""Training of the diffusion model."""
