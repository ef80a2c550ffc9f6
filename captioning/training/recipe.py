"""Training a captioner on text alone: CLAP text embeddings in, the same sentences out.

No audio is opened unless the recipe names some: `pairs`, for bridges that are fitted on a few clips and for the
supervised upper bound (`paired`), and `validation`, for metrics.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from captioning.bridges import Bridge, BridgeChain, BridgeData, create_bridge
from captioning.captioner import Captioner, CaptionerConfig, save_captioner, stored_bridges
from captioning.decoder import CaptionDecoder, Vocabulary, train_vocabulary
from captioning.decoding import Decoding
from captioning.training.config import CaptionerRecipe, check_recipe
from captioning.training.pretrained_gpt2 import load_gpt2
from captioning.training.rows import Rows, clip_rows, embed_clips, join_rows, text_rows
from captioning.training.sentences import embed_sentences
from clapgen.clap import Clap
from clapgen.configuration import load_config
from clapgen.data.manifest import held_out_clips, training_clips
from clapgen.data.sentences import read_sentences
from clapgen.embedders import load_clap
from clapgen.errors import ClapgenError
from clapgen.metrics.captions.scores import caption_scores
from clapgen.model_store import copy_part, is_same_part, resolve_model
from clapgen.training.loop import train
from clapgen.training.provenance import describe_texts, hold_out, stored_asset
from clapgen.training.seeds import seeded
from clapgen.training.task import Task, weight_decay_groups

logger = logging.getLogger(__name__)

POOL = 8  # batches are cut from a pool this many times their size, sorted by length, to save padding
MAX_HELD_OUT = 1000
TOO_FEW_TO_HOLD_OUT = 100


class CaptionerTask(Task):
    """Predict sentences from their own CLAP embeddings, behind the bridges."""

    def __init__(self, recipe: CaptionerRecipe) -> None:
        check_recipe(recipe)
        self.recipe = recipe
        self.clap = load_clap(recipe.clap)
        recipe.decoder.dim = self.clap.dim
        self.config = self._captioner_config()
        self.bridges = self._create_bridges()
        self.chain = BridgeChain([self.bridges[name] for name in recipe.bridges.names if name != "none"])
        self.rows, self.rows_per_source = self._read_rows()
        self.held_out, self.weights = self._hold_out()
        self.decoder = self._create_decoder()
        self.lengths = torch.tensor([len(ids) for ids in self.decoder.vocabulary.encode(self.rows.captions, 10_000)])
        self._drop_long_captions()
        self._fit_bridges()

    def _captioner_config(self) -> CaptionerConfig:
        recipe = self.recipe
        config = CaptionerConfig(
            decoder=recipe.decoder,
            bridges=recipe.bridges,
            bridge=list(recipe.bridge or recipe.bridges.names),
            decoding=recipe.decoding,
            clap_name=recipe.clap,
            clap_hash=self.clap.hash,
        )
        unknown = [name for name in config.bridge if name not in (*stored_bridges(config), "none")]
        if unknown:
            raise ClapgenError(f"bridge={unknown[0]} must also be in bridges.names or bridges.extra.")
        return config

    def _create_bridges(self) -> dict[str, Bridge]:
        """Every bridge of the recipe by name: those of training and the extra ones."""
        with seeded(self.recipe.training.seed):
            return {
                name: create_bridge(name, self.recipe.bridges, self.clap.dim) for name in stored_bridges(self.config)
            }

    def _read_rows(self) -> tuple[Rows, list[int]]:
        """The training rows of all sources, and the number of rows of each."""
        recipe = self.recipe
        parts = text_rows(recipe.text, self.clap, recipe.cache, recipe.text_splits, recipe.free_only)
        if recipe.paired:
            clips = training_clips(recipe.pairs, free_only=recipe.free_only)
            parts.append(clip_rows(clips, self.clap, recipe.cache))
        return join_rows(parts, recipe.shares), [len(part) for part in parts]

    def _hold_out(self) -> tuple[Tensor, Tensor]:
        """Indices of the rows for validation, and the weights (n,) with which training draws rows."""
        held_out = torch.tensor(hold_out(self.rows.captions, self.recipe.validation_share, MAX_HELD_OUT)[0])
        weights = self.rows.weights.clone()
        if len(self.rows) > TOO_FEW_TO_HOLD_OUT:  # otherwise training needs every row
            weights[held_out] = 0
        return held_out, weights

    def _create_decoder(self) -> CaptionDecoder:
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
            known = stored_asset(recipe.training.output, "vocabulary")
            trained = Tokenizer.from_str(known) if known else None
            vocabulary = Vocabulary(trained or train_vocabulary(self.rows.captions, recipe.decoder.vocab_size))
            recipe.decoder.vocab_size = len(vocabulary)
        with seeded(recipe.training.seed):
            return CaptionDecoder(recipe.decoder, vocabulary, language_model)

    def _drop_long_captions(self) -> None:
        """Never draw captions above the decoder's maximum: truncated ones would teach it to stop mid-sentence."""
        longest = self.decoder.config.max_tokens
        too_long = self.lengths > longest
        self.weights[too_long] = 0
        if bool(too_long.any()):
            logger.warning("skipping %d captions of more than %d tokens", int(too_long.sum()), longest)
        if not float(self.weights.sum()) > 0:
            raise ClapgenError(f"every caption has more than decoder.max_tokens={longest} tokens; raise it.")

    def _fit_bridges(self) -> None:
        """Fit every bridge; the extra ones on the output of those used in training."""
        fitted = self.chain.fit(self._bridge_data())
        for name, bridge in self.bridges.items():
            if name not in self.chain.names:
                bridge.fit(fitted)

    def _bridge_data(self) -> BridgeData:
        recipe, rows = self.recipe, self.rows
        data = BridgeData(rows.captions, rows.embeddings, memory_rows=self._memory_rows(), weights=rows.weights)
        if recipe.labels:
            data.labels = read_sentences(recipe.labels).texts
            data.label_embeddings = embed_sentences(self.clap, data.labels, recipe.cache)
        if recipe.pairs and any(bridge.reads_pairs for bridge in self.bridges.values()):
            pairs = clip_rows(training_clips(recipe.pairs, free_only=recipe.free_only), self.clap, recipe.cache)
            data.audio = pairs.embeddings
            data.paired_text = embed_sentences(self.clap, pairs.captions, recipe.cache)
        return data

    def _memory_rows(self) -> Tensor | None:
        """Indices of the rows from the files that a memory is built from."""
        recipe = self.recipe
        missing = [file for file in recipe.memory if file not in recipe.text]
        if missing:
            raise ClapgenError(f"memory={missing[0]} must be one of the files of text={','.join(recipe.text)}.")
        if not recipe.memory:
            return None
        sources = torch.arange(len(self.rows)).split(self.rows_per_source)
        return torch.cat([rows for file, rows in zip(recipe.text, sources, strict=False) if file in recipe.memory])

    def describe_bridges(self) -> list[str]:
        """Lines with what each fitted bridge amounts to, such as "noise: expected cosine 0.75"."""
        return [
            f"{name}: {what} {f'{value:.4g}' if isinstance(value, float) else value}"
            for name, bridge in self.bridges.items()
            for what, value in bridge.describe().items()
        ]

    def provenance(self) -> dict[str, Any]:
        sources = [*self.recipe.text, *(["pairs"] if self.recipe.paired else [])]
        parts = torch.arange(len(self.rows)).split(self.rows_per_source)
        described = {
            f"text {number} ({Path(source).name})": describe_texts([self.rows.captions[row] for row in part.tolist()])
            for number, (source, part) in enumerate(zip(sources, parts, strict=True), 1)
        }
        return {**described, "CLAP": self.clap.hash, "start_from": self.recipe.start_from}

    def assets(self) -> dict[str, str]:
        return {"vocabulary": self.decoder.vocabulary.tokenizer.to_str()}

    def networks(self) -> dict[str, nn.Module]:
        return {"decoder": self.decoder, "bridges": nn.ModuleDict(self.bridges)}

    def parameter_groups(self) -> dict[str, list[dict[str, Any]]]:
        groups = {"decoder": weight_decay_groups([self.decoder])}
        if any(True for bridge in self.bridges.values() for _ in bridge.parameters()):
            groups["bridges"] = weight_decay_groups(self.bridges.values())
        return groups

    def batch(self, index: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Rows drawn by weight, of similar length, so that little is padded."""
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
        bridged, words = self.chain.train_text(embeddings, rows, generator)
        return self.decoder(bridged, [self.rows.captions[row] for row in rows.tolist()], words), {}

    def _bridge_loss(self, embeddings: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor | None:
        losses = [self.chain.loss(embeddings, rows, generator)]
        extra = [bridge for name, bridge in self.bridges.items() if name not in self.chain.names]
        bridged = self.chain.text(embeddings).detach()
        losses += [bridge.loss(bridged, rows, generator) for bridge in extra]
        trained = [loss for loss in losses if loss is not None]
        return torch.stack(trained).sum() if trained else None

    def evaluate(self) -> dict[str, float]:
        """Cross-entropy on held-out rows, augmented as in training; caption metrics on the validation clips, if any."""
        held_out = self.held_out[self.lengths[self.held_out] <= self.decoder.config.max_tokens]
        captions = [self.rows.captions[row] for row in held_out.tolist()]
        device = next(self.decoder.parameters()).device
        embeddings, generator = self.rows.embeddings[held_out].to(device), torch.Generator().manual_seed(0)
        bridged, words = self.chain.train_text(embeddings, held_out, generator)
        metrics = {"loss": float(self.decoder(bridged, captions, words))} if captions else {}
        if self.recipe.validation:
            clips = [clip for clip in held_out_clips(self.recipe.validation) if clip.captions]
            clips, audio = embed_clips(clips, self.clap, self.recipe.cache)
            captioner = Captioner(self.clap, self.decoder, self.bridges, self.config)
            texts = [caption.text for caption in captioner.caption_embeddings(audio, Decoding(method="greedy"))]
            scores = caption_scores(texts, [clip.captions for clip in clips]).corpus
            metrics |= {name: scores[name] for name in ("CIDEr-D", "ROUGE-L", "distinct_captions") if name in scores}
        return metrics

    def export(self, directory: Path) -> None:
        """Write captioner and CLAP, ready for `clapgen caption --model`; a public CLAP is referred to by name."""
        save_captioner(directory, self.config, self.decoder, self.bridges)
        if not isinstance(self.clap, Clap):
            return
        source = resolve_model(self.recipe.clap)
        if not is_same_part(source, directory, "clap"):
            copy_part(source, directory, "clap")


def run(config: Path | None, overrides: Sequence[str] = ()) -> dict[str, float]:
    """Train a captioner with a recipe: `clapgen train captioner text=captions.txt`."""
    recipe = load_config(CaptionerRecipe, config, _with_lists(overrides))
    task = CaptionerTask(recipe)
    for line in task.describe_bridges():
        print(line, file=sys.stderr)
    return train(task, recipe.training, recipe=recipe)


def _with_lists(overrides: Sequence[str]) -> list[str]:
    """Turn `text=a.jsonl,b.txt`, or several `text=…`, into the list that the recipe expects."""
    files = [value for override in overrides if (value := override.removeprefix("text=")) != override]
    others = [override for override in overrides if not override.startswith("text=")]
    if not files or (len(files) == 1 and files[0].startswith("[")):
        return list(overrides)
    names = [name.strip() for value in files for name in value.split(",")]
    return [*others, f"text={json.dumps(names, ensure_ascii=False)}"]
