"""A whole model with tiny networks and random weights, saved as the shipped one is: for tests of what runs it."""

from pathlib import Path

import torch
from torch import nn

from clapgen.clap import AudioTowerConfig, Clap, ClapConfig, TextTowerConfig
from clapgen.clap.tokenizer import train_tokenizer
from clapgen.model_store import save_part, weights_hash
from generation.autoencoder.config import AutoencoderConfig
from generation.autoencoder.model import Autoencoder
from generation.diffusion import DiffusionConfig, DiffusionTransformer

SAMPLE_RATE = 8000
WORDS = ["rain on a tin roof", "a dog barks twice", "wind in the trees", "church bells", "This is a sound of"]

CLAP = ClapConfig(
    dim=16,
    audio=AudioTowerConfig(
        sample_rate=SAMPLE_RATE,
        window_seconds=1.0,
        n_fft=256,
        hop_length=160,
        n_mels=32,
        f_max=4000.0,
        stem_width=8,
        widths=[8, 16],
        depths=[1, 1],
    ),
    text=TextTowerConfig(vocab_size=320, width=16, layers=1, heads=2),
)
AUTOENCODER = AutoencoderConfig(
    sample_rate=SAMPLE_RATE,
    hop_length=80,
    latent_dim=8,
    n_mels=16,
    mel_n_fft=256,
    encoder_width=16,
    encoder_depth=1,
    encoder_slow_width=16,
    encoder_slow_depth=1,
    decoder_slow_width=16,
    decoder_slow_depth=1,
    decoder_width=16,
    decoder_depth=1,
    n_fft=320,
    fine_n_fft=640,
)


def build_tiny_model(folder: Path, seed: int = 0) -> Path:
    """Write the three parts and a card into `folder`; another seed gives other weights."""
    generator = torch.Generator().manual_seed(seed)
    clap = Clap(CLAP, train_tokenizer(WORDS, vocab_size=CLAP.text.vocab_size))
    randomise(clap, generator)
    clap.save_pretrained(folder)
    autoencoder = Autoencoder(AUTOENCODER)
    randomise(autoencoder, generator)
    save_part(folder, "autoencoder", AUTOENCODER, autoencoder)
    diffusion = DiffusionConfig(
        latent_dim=AUTOENCODER.latent_dim,
        condition_dim=CLAP.dim,
        width=16,
        layers=1,
        heads=2,
        context_dim=CLAP.dim,
        clap_hash=weights_hash(folder, "clap"),
        autoencoder_hash=weights_hash(folder, "autoencoder"),
    )
    network = DiffusionTransformer(diffusion)
    randomise(network, generator)
    save_part(folder, "diffusion", diffusion, network)
    (folder / "MODEL_CARD.md").write_text("# tiny\n\nRandom weights, for tests.\n")
    return folder


def randomise(module: nn.Module, generator: torch.Generator) -> None:
    """Replace every parameter, also those that start as zero, so that each one matters to the result."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 0:
                scale = 0.5 / max(1, parameter[0].numel()) ** 0.5
                parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
