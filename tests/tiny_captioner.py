"""A captioner with a tiny decoder and bridges fitted on a few sentences, in the shipped format."""

from pathlib import Path

import torch

from captioning.bridges import BridgeData, BridgesConfig, create_bridge
from captioning.captioner import CaptionerConfig, save_captioner
from captioning.decoder import CaptionDecoder, DecoderConfig, Vocabulary, train_vocabulary
from captioning.decoding import Decoding
from clapgen.clap import Clap
from clapgen.clap.tokenizer import tokenize
from clapgen.testing import SAMPLE_RATE, WORDS, randomise, tiny_model

SENTENCES = [
    *WORDS[:4],
    "A man speaks while birds sing",
    "Thunder rumbles far away",
    "Water runs into a sink",
    "Ein Hund bellt über dem Café",  # bytes beyond ASCII: a random decoder is tempted to break characters
]
DECODING = Decoding(beams=2, max_tokens=8)


def tiny_decoder(dim: int = 16, seed: int = 0, **changes: object) -> CaptionDecoder:
    """A decoder with random weights and a vocabulary from the sentences, in evaluation mode."""
    vocabulary = Vocabulary(train_vocabulary(SENTENCES, 400))
    sizes = {"width": 16, "layers": 1, "heads": 2, "mapper_width": 16, "mapper_layers": 1, "prefix_length": 3}
    config = DecoderConfig(dim=dim, vocab_size=len(vocabulary), **{**sizes, **changes})  # type: ignore[arg-type]
    decoder = CaptionDecoder(config, vocabulary)
    randomise(decoder, torch.Generator().manual_seed(seed))
    return decoder.eval()


def taught_decoder(embeddings: torch.Tensor, steps: int = 45) -> CaptionDecoder:
    """A decoder trained briefly on the sentences and their embeddings, so that its output depends on the input."""
    decoder = tiny_decoder(embeddings.shape[1], width=32, dropout=0.0, mapper_width=32)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        decoder(embeddings, SENTENCES).backward()
        optimizer.step()
    return decoder


def build_spread_model(folder: Path, seed: int = 0) -> Path:
    """A tiny model in which different sentences and tones lie apart, as in a trained CLAP."""
    clap = Clap.from_pretrained(tiny_model(folder, seed))
    time = torch.arange(SAMPLE_RATE) / SAMPLE_RATE
    tones = torch.stack([0.5 * (2 * torch.pi * 110 * 2**octave * time).sin() for octave in range(5)])
    with torch.no_grad():
        clap.text_tower.token_embedding.weight *= 20
        tokens, mask = tokenize(clap.tokenizer, SENTENCES, clap.text_tower.max_tokens)
        clap.text_projection[-1].bias -= clap.text_projection(clap.text_tower(tokens, mask)).mean(0)
        clap.audio_projection[-1].bias -= clap.audio_projection(clap.audio_tower(clap.audio_tower.log_mel(tones))).mean(
            0
        )
    clap.save_pretrained(folder)
    return folder


def build_tiny_captioner(folder: Path, seed: int = 0, clap_name: str = "tiny") -> Path:
    """Write a tiny model and the captioner of its CLAP, with the bridges noise and memory, into `folder`."""
    build_spread_model(folder, seed)
    add_tiny_captioner(folder, clap_name)
    return folder


def add_tiny_captioner(folder: Path, clap_name: str = "tiny") -> None:
    """Write `captioner/` for the CLAP of a model folder."""
    clap = Clap.from_pretrained(folder)
    decoder = taught_decoder(clap.embed_text(SENTENCES))
    bridges = BridgesConfig(names=["noise"], extra=["memory"])
    fitted = {name: create_bridge(name, bridges, clap.dim) for name in ("noise", "memory")}
    for bridge in fitted.values():
        bridge.fit(BridgeData(SENTENCES, clap.embed_text(SENTENCES)))
    config = CaptionerConfig(decoder.config, bridges, ["noise"], DECODING, clap_name, clap.hash)
    save_captioner(folder, config, decoder, fitted)
