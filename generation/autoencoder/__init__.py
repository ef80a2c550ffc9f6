"""The autoencoder: waveforms to 25 latent frames per second and back."""

from generation.autoencoder.config import AutoencoderConfig
from generation.autoencoder.model import Autoencoder

__all__ = ["Autoencoder", "AutoencoderConfig"]
