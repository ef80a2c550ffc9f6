"""A complete model with tiny networks and random weights, for tests of code that uses clapgen.

>>> from clapgen import TextToAudio
>>> from clapgen.testing import tiny_model
>>> def test_my_player(tmp_path):
...     [sound] = TextToAudio.from_pretrained(tiny_model(tmp_path)).generate(["rain"], seconds=0.5, num_steps=2)

Its sounds are noise, but everything else is as in a real model: files, checksums, errors, seeds, lengths.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from clapgen.clap import AudioTowerConfig, Clap, ClapConfig, TextTowerConfig
from clapgen.clap.tokenizer import train_tokenizer
from clapgen.model_store import save_part

if TYPE_CHECKING:
    from torch import nn

__all__ = ["CLAP", "SAMPLE_RATE", "WORDS", "randomise", "tiny_model"]

SAMPLE_RATE = 8000  # Hz
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


def tiny_model(folder: str | Path, seed: int = 0) -> Path:
    """Write a model with `clap/`, `autoencoder/`, `diffusion/` and a card into `folder`, in well under a second.

    Args:
        folder: where to write; created if missing.
        seed: of the random weights. The same seed gives the same model.

    Returns: `folder`, ready for `Clap.from_pretrained`, `TextToAudio.from_pretrained` or `clapgen generate --model`.
    """
    folder = Path(folder)
    generator = torch.Generator().manual_seed(seed)
    clap = Clap(CLAP, train_tokenizer(WORDS, vocab_size=CLAP.text.vocab_size))
    randomise(clap, generator)
    clap.save_pretrained(folder)
    _save_generation_parts(folder, generator)
    (folder / "MODEL_CARD.md").write_text("# tiny\n\nRandom weights, for tests.\n")
    return folder


def _save_generation_parts(folder: Path, generator: torch.Generator) -> None:
    # Imported here: the core does not depend on generation, and a test of the CLAP alone need not load it.
    from generation.autoencoder.config import AutoencoderConfig
    from generation.autoencoder.model import Autoencoder
    from generation.compatibility import trained_with
    from generation.diffusion import DiffusionConfig, DiffusionTransformer

    sizes = AutoencoderConfig(
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
    autoencoder = Autoencoder(sizes)
    randomise(autoencoder, generator)
    save_part(folder, "autoencoder", sizes, autoencoder)
    diffusion = DiffusionConfig(
        latent_dim=sizes.latent_dim,
        condition_dim=CLAP.dim,
        width=16,
        layers=1,
        heads=2,
        **trained_with(folder, folder),
    )
    network = DiffusionTransformer(diffusion)
    randomise(network, generator)
    save_part(folder, "diffusion", diffusion, network)


def randomise(module: nn.Module, generator: torch.Generator) -> None:
    """Replace every parameter by noise, also those that start at zero, so that each one affects the result."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 0:
                scale = 0.5 / max(1, parameter[0].numel()) ** 0.5
                parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
