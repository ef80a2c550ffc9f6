"""Training a captioner on text alone: CLAP text embeddings in, the same sentences out.

No sound is opened, unless the recipe names some: `pairs`, for bridges that are fitted on a few and for the supervised
upper bound (`paired`), and `validation`, to measure on.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from captioning.bridges import Bridge, BridgeChain, BridgesConfig, Corpus, build_bridge
from captioning.captioner import Captioner, CaptionerConfig, save_captioner, stored_bridges
from captioning.decoder import CaptionDecoder, DecoderConfig, Decoding, Vocabulary, check_decoding, train_vocabulary
from captioning.training.pretrained_gpt2 import load_gpt2
from captioning.training.rows import Rows, clip_rows, embed_clips, join_rows, text_rows
from captioning.training.sentences import embed_sentences, read_sentences
from clapgen.configuration import load_config
from clapgen.data.manifest import held_out_clips, training_clips
from clapgen.embedders.space import is_public, load_space
from clapgen.errors import ClapgenError
from clapgen.metrics.captions.scores import caption_scores
from clapgen.model_store import copy_part, is_same_part, resolve_model
from clapgen.training.loop import train
from clapgen.training.seeds import seeded
from clapgen.training.task import Task, TrainingConfig, weight_decay_groups

logger = logging.getLogger(__name__)

SOUND_TO_TEXT = ("mean-shift", "memory", "nnd", "diffusion")  # what is wrong for a decoder that knows sounds
POOL = 8  # batches are cut from this many times their size, sorted by length, to save padding


def _training() -> TrainingConfig:
    return TrainingConfig("runs/captioner", 3000, batch_size=128, ema_decay=0.998, evaluate_every=500, save_every=500)


@dataclass
class CaptionerRecipe:
    """Text, CLAP, bridges and decoder of a captioner.

    `text` are JSONL, CSV or plain files (a manifest is one); of lines with a "split" only `text_splits` are read.
    `shares` says how much of a batch comes from each file; left out, files count by their sentences.
    `memory` are those of the text files whose sentences a memory bridge holds, all if left out.
    `bridge` are the bridges used on audio, those of training (`bridges.names`) if left out. `labels` is a text file
    whose lines hard prompts are made of. `pairs` is a manifest of clips with
    captions; with `paired` the decoder is trained on their audio embeddings, besides any `text`. `validation` is a
    manifest whose held-out clips are captioned at every evaluation. `start_from` is a captioner to go on from, in
    another style, say, whose `decoder` stays as it is; `pretrained` a GPT-2 by name or folder; `freeze` trains the
    mapping network in front of either alone.
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


class CaptionerTask(Task):
    """Sentences from their own CLAP embeddings, as the bridges leave them."""

    def __init__(self, recipe: CaptionerRecipe) -> None:
        _check(recipe)
        if not recipe.text and not recipe.paired:
            raise ClapgenError(
                "there is nothing to train on: set text=FILE (JSONL, CSV or plain text, a caption a line)"
            )
        self.recipe = recipe
        self.clap = load_space(recipe.clap)
        self.config = CaptionerConfig(
            recipe.decoder, recipe.bridges, list(recipe.bridge or recipe.bridges.names), recipe.decoding
        )
        self.config.clap_name, self.config.clap_hash = recipe.clap, self.clap.hash
        recipe.decoder.dim = self.clap.dim
        with seeded(recipe.training.seed):
            self.bridges = self._build_bridges()
        self.rows = self._rows()
        order = torch.randperm(len(self.rows), generator=torch.Generator().manual_seed(0))
        held_out = max(1, int(len(self.rows) * recipe.validation_share))
        self.held_out = order[: min(held_out, 1000)]
        self.weights = self.rows.weights.clone()
        if len(self.rows) > 100:  # else there is nothing to spare
            self.weights[self.held_out] = 0
        self.decoder = self._decoder()
        self.lengths = torch.tensor([len(ids) for ids in self.decoder.vocabulary.encode(self.rows.captions, 10_000)])
        self._drop_long_captions()
        self._fit()

    def _build_bridges(self) -> dict[str, Bridge]:
        """Every bridge of the recipe, each once: those of training, those offered besides."""
        names = stored_bridges(self.config)
        unknown = [name for name in self.config.bridge if name not in (*names, "none")]
        if unknown:
            raise ClapgenError(f"bridge={unknown[0]} is to be used on audio, but is not in bridges.names or .offered")
        bridges = {name: build_bridge(name, self.recipe.bridges, self.clap.dim) for name in names}
        self.chain = BridgeChain([bridges[name] for name in self.recipe.bridges.names if name != "none"])
        return bridges

    def _rows(self) -> Rows:
        recipe = self.recipe
        parts = text_rows(recipe.text, self.clap, recipe.cache, recipe.text_splits, recipe.free_only)
        if recipe.paired:
            clips = training_clips(recipe.pairs, free_only=recipe.free_only)
            parts.append(clip_rows(clips, self.clap, recipe.cache))
        self.rows_of_source = [len(part) for part in parts]
        return join_rows(parts, recipe.shares)

    def _decoder(self) -> CaptionDecoder:
        recipe = self.recipe
        if recipe.start_from:
            decoder = Captioner.from_pretrained(recipe.start_from, clap=recipe.clap).decoder.train()
            self.config.decoder = decoder.config
        else:
            decoder = self._new_decoder()
        if recipe.freeze:
            decoder.language_model.requires_grad_(False)
        return decoder

    def _new_decoder(self) -> CaptionDecoder:
        recipe, language_model = self.recipe, None
        if recipe.pretrained:
            language_model, vocabulary = load_gpt2(recipe.pretrained, recipe.decoder)
        else:
            vocabulary = Vocabulary(train_vocabulary(self.rows.captions, recipe.decoder.vocab_size))
            recipe.decoder.vocab_size = len(vocabulary)
        with seeded(recipe.training.seed):
            return CaptionDecoder(recipe.decoder, vocabulary, language_model)

    def _drop_long_captions(self) -> None:
        """Captions longer than the decoder's longest are not trained on: cut ones would teach it to stop midway."""
        longest = self.decoder.config.max_tokens
        too_long = self.lengths > longest
        self.weights[too_long] = 0
        if bool(too_long.any()):
            logger.warning("%d captions of more than %d tokens are left out", int(too_long.sum()), longest)
        if not float(self.weights.sum()) > 0:
            raise ClapgenError(f"every caption has more than decoder.max_tokens={longest} tokens")

    def _fit(self) -> None:
        """Fit every bridge, and say what its figures mean."""
        recipe, rows = self.recipe, self.rows
        corpus = Corpus(rows.captions, rows.embeddings, memory_rows=self._memory_rows(), weights=rows.weights)
        if recipe.labels:
            corpus.labels = read_sentences(recipe.labels).texts
            corpus.label_embeddings = embed_sentences(self.clap, corpus.labels, recipe.cache)
        if recipe.pairs and any(bridge.reads_pairs for bridge in self.bridges.values()):
            pairs = clip_rows(training_clips(recipe.pairs, free_only=recipe.free_only), self.clap, recipe.cache)
            corpus.audio = pairs.embeddings
            corpus.paired_text = embed_sentences(self.clap, pairs.captions, recipe.cache)
        behind = self.chain.fit(corpus)  # where bridges that are offered besides find the text
        for name, bridge in self.bridges.items():
            if name not in self.chain.names:
                bridge.fit(behind)
            for metric, value in bridge.describe().items():
                logger.warning("%s: %s %s", name, metric, f"{value:.4g}" if isinstance(value, float) else value)

    def _memory_rows(self) -> Tensor | None:
        """Rows of the text files that a memory is made of."""
        recipe = self.recipe
        missing = [file for file in recipe.memory if file not in recipe.text]
        if missing:
            raise ClapgenError(f"memory={missing[0]} is none of the files of text={','.join(recipe.text)}")
        if not recipe.memory:
            return None
        places = torch.arange(len(self.rows)).split(self.rows_of_source)
        return torch.cat([rows for file, rows in zip(recipe.text, places, strict=False) if file in recipe.memory])

    def networks(self) -> dict[str, nn.Module]:
        return {"decoder": self.decoder, "bridges": nn.ModuleDict(self.bridges)}

    def parameter_groups(self) -> dict[str, list[dict[str, Any]]]:
        groups = {"decoder": weight_decay_groups([self.decoder])}
        if any(True for bridge in self.bridges.values() for _ in bridge.parameters()):
            groups["bridges"] = weight_decay_groups(self.bridges.values())
        return groups

    def batch(self, index: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Rows drawn by weight; of many, neighbours in length, so that little is padded."""
        size = self.recipe.training.batch_size
        pool = torch.multinomial(self.weights, POOL * size, replacement=True, generator=generator)
        pool = pool[self.lengths[pool].argsort(stable=True)]
        start = int(torch.randint(POOL, (), generator=generator)) * size
        rows = pool[start : start + size]
        return {
            "rows": rows,
            "embeddings": self.rows.embeddings[rows],
            "seed": torch.randint(2**62, (), generator=generator),
        }

    def loss(self, batch: dict[str, Tensor], group: str, step: int) -> tuple[Tensor | None, dict[str, Any]]:
        rows, embeddings = batch["rows"], batch["embeddings"]
        generator = torch.Generator().manual_seed(int(batch["seed"]))
        if group == "bridges":
            return self._bridge_loss(embeddings, rows, generator), {}
        bridged, hints = self.chain.train_text(embeddings, rows, generator)
        return self.decoder(bridged, [self.rows.captions[row] for row in rows.tolist()], hints), {}

    def _bridge_loss(self, embeddings: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor | None:
        losses = [self.chain.loss(embeddings, rows, generator)]
        offered = [bridge for name, bridge in self.bridges.items() if name not in self.chain.names]
        behind = self.chain.text(embeddings).detach()
        losses += [bridge.loss(behind, rows, generator) for bridge in offered]
        found = [loss for loss in losses if loss is not None]
        return torch.stack(found).sum() if found else None

    def evaluate(self) -> dict[str, float]:
        """Cross-entropy of held-out rows, which training would see the same; scores on clips if the recipe has any."""
        held_out = self.held_out[self.lengths[self.held_out] <= self.decoder.config.max_tokens]
        captions = [self.rows.captions[row] for row in held_out.tolist()]
        device = next(self.decoder.parameters()).device
        embeddings, chance = self.rows.embeddings[held_out].to(device), torch.Generator().manual_seed(0)
        bridged, hints = self.chain.train_text(embeddings, held_out, chance)
        metrics = {"loss": float(self.decoder(bridged, captions, hints))} if captions else {}
        if self.recipe.validation:
            clips = [clip for clip in held_out_clips(self.recipe.validation) if clip.captions]
            kept, audio = embed_clips(clips, self.clap, self.recipe.cache)
            captioner = Captioner(self.clap, self.decoder, self.bridges, self.config)
            texts = [caption.text for caption in captioner.caption_embeddings(audio, Decoding(method="greedy"))]
            scores = caption_scores(texts, [clip.captions for clip in kept]).corpus
            metrics |= {name: scores[name] for name in ("CIDEr-D", "ROUGE-L", "distinct_captions") if name in scores}
        return metrics

    def export(self, directory: Path) -> None:
        """Captioner and CLAP, ready for `clapgen caption --model`; a public CLAP stays where it is."""
        save_captioner(directory, self.config, self.decoder, self.bridges)
        if is_public(self.recipe.clap):
            return
        if not is_same_part(resolve_model(self.recipe.clap), directory, "clap"):
            copy_part(resolve_model(self.recipe.clap), directory, "clap")


def run(config: Path | None, overrides: Sequence[str] = ()) -> dict[str, float]:
    """Train a captioner by a recipe: `clapgen train captioner text=captions.txt`."""
    recipe = load_config(CaptionerRecipe, config, _with_lists(overrides))
    return train(CaptionerTask(recipe), recipe.training, recipe=recipe)


def _with_lists(overrides: Sequence[str]) -> list[str]:
    """`text=a.jsonl,b.txt` and several `text=…` as the list that the recipe asks for."""
    files = [value for override in overrides if (value := override.removeprefix("text=")) != override]
    others = [override for override in overrides if not override.startswith("text=")]
    if not files or (len(files) == 1 and files[0].startswith("[")):
        return list(overrides)
    names = [name.strip() for value in files for name in value.split(",")]
    return [*others, f"text={json.dumps(names, ensure_ascii=False)}"]


def _check(recipe: CaptionerRecipe) -> None:
    """Refuse settings that do not go together, before anything is read."""
    check_decoding(recipe.decoding)
    if recipe.paired and not recipe.pairs:
        raise ClapgenError("paired=true trains on sounds with captions: set pairs=MANIFEST")
    misled = [name for name in (*recipe.bridges.names, *recipe.bridges.offered) if name in SOUND_TO_TEXT]
    if recipe.paired and misled:
        raise ClapgenError(
            f"paired=true trains on sounds themselves; the bridge '{misled[0]}' would make text of them; leave it out"
        )
    if recipe.start_from and recipe.pretrained:
        raise ClapgenError("start_from and pretrained both name a language model to start with; give one of them")
    if recipe.freeze and not (recipe.start_from or recipe.pretrained):
        raise ClapgenError("freeze=true would leave a language model of random weights; set pretrained or start_from")
    if not 0 <= recipe.validation_share < 1:
        raise ClapgenError(f"validation_share must be at least 0 and below 1, not {recipe.validation_share:g}")
