"""The recipe of a captioner, and which of its settings contradict each other."""

from __future__ import annotations

from dataclasses import dataclass, field

from captioning.bridges import BRIDGES, BridgesConfig
from captioning.decoder import DecoderConfig
from captioning.decoding import Decoding, check_decoding
from clapgen.errors import ClapgenError
from clapgen.training.loop import TrainingConfig


def _training() -> TrainingConfig:
    return TrainingConfig("runs/captioner", 3000, batch_size=128, ema_decay=0.998, evaluate_every=500, save_every=500)


@dataclass
class CaptionerRecipe:
    """Text, CLAP, bridges and decoder of a captioner.

    Data: `text` are JSONL, CSV or plain text files (a manifest is one); of lines with a "split" only `text_splits` are
    read. `shares` is each file's share of a batch, by default proportional to its number of sentences. `memory` are the
    text files whose sentences a memory bridge stores (default: all). `labels` is a text file with the labels for hard
    prompts. `pairs` is a manifest of clips with captions, on whose audio embeddings the decoder is trained if `paired`
    is set, in addition to any `text`. `validation` is a manifest whose held-out clips are captioned at evaluations.

    Model: `bridge` are the bridges used on audio (default: those of training, `bridges.names`). `start_from` is a
    captioner to continue from, for instance in another style; its `decoder` sizes are kept. `pretrained` is a GPT-2 by
    name or folder. `freeze` trains only the mapping network in front of either.
    """

    text: list[str] = field(default_factory=list)
    text_splits: list[str] = field(default_factory=lambda: ["train"])
    shares: list[float] = field(default_factory=list)
    memory: list[str] = field(default_factory=list)
    free_only: bool = True
    labels: str = ""
    pairs: str = ""
    paired: bool = False
    validation: str = ""
    validation_share: float = 0.01
    clap: str = "default"
    cache: str = "runs/cache"
    start_from: str = ""
    pretrained: str = ""
    freeze: bool = False
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    bridges: BridgesConfig = field(default_factory=BridgesConfig)
    bridge: list[str] = field(default_factory=list)
    decoding: Decoding = field(default_factory=Decoding)
    training: TrainingConfig = field(default_factory=_training)


def check_recipe(recipe: CaptionerRecipe) -> None:
    """Raise ClapgenError for contradicting settings, before anything is read."""
    check_decoding(recipe.decoding)
    if not recipe.text and not recipe.paired:
        raise ClapgenError("nothing to train on: set text=FILE (JSONL, CSV, or plain text with one caption per line).")
    if recipe.paired and not recipe.pairs:
        raise ClapgenError("paired=true trains on clips with captions: set pairs=MANIFEST.")
    for name in (*recipe.bridges.names, *recipe.bridges.extra):
        if recipe.paired and name in BRIDGES and BRIDGES.get(name).maps_audio_to_text:
            raise ClapgenError(
                f"the bridge '{name}' maps audio embeddings to text, but paired=true trains the decoder on audio; "
                "remove the bridge."
            )
    if recipe.start_from and recipe.pretrained:
        raise ClapgenError("start_from and pretrained both name an initial language model; set only one of them.")
    if recipe.freeze and not (recipe.start_from or recipe.pretrained):
        raise ClapgenError("freeze=true would keep a language model with random weights; set pretrained or start_from.")
    if not 0 <= recipe.validation_share < 1:
        raise ClapgenError(f"validation_share must be at least 0 and below 1, not {recipe.validation_share:g}.")
