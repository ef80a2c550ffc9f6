"""Training of the tagger, the second judge of generated sound: clips and their labels, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clapgen.configuration import load_config
from clapgen.data.audio_cache import AudioCache
from clapgen.data.splits import class_of, split_clips
from clapgen.errors import ClapgenError
from clapgen.tagger import Tagger, TaggerConfig
from clapgen.tagger.model import top_k
from clapgen.training.loop import train
from clapgen.training.provenance import describe_clips
from clapgen.training.seeds import seeded
from clapgen.training.task import Task, TrainingConfig
from pretrain.data.captions import true_names
from pretrain.data.log_mels import LogMels
from pretrain.data.rows import RowMaker, SceneConfig
from pretrain.data.sounds import AugmentConfig, Sounds
from pretrain.objectives.base import BatchRow
from pretrain.objectives.names import Names

CLIPS_AT_ONCE = 32
SHOWN = (1, 3, 10)


@dataclass
class TaggerRecipe:
    """A tagger's data, sizes and augmentation. `class_field` is the key of the manifest that holds a clip's class.

    `repeats` maps "FIELD=VALUE" of the manifest to how many times an epoch has each such clip.
    """

    manifest: str = ""
    cache: str = "runs/cache"
    free_only: bool = False
    train_split: str = "train"
    validation_split: str = "val"
    class_field: str = "esc50_class"
    repeats: dict[str, int] = field(default_factory=dict)
    tagger: TaggerConfig = field(default_factory=TaggerConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


class TaggerTask(Task):
    """Softmax over the labels, each true one against those that are certainly false.

    A label that may be true as well does not compete: the labels of recordings are never complete. A mixture has the
    labels of both its sounds.
    """

    def __init__(self, recipe: TaggerRecipe) -> None:
        self.recipe = recipe
        training, held_out = split_clips(recipe.manifest, recipe.train_split, recipe.validation_split, recipe.free_only)
        training = [clip for clip in training if true_names(clip, recipe.class_field)]
        if len({name for clip in training for name in true_names(clip, recipe.class_field)}) < 2:
            raise ClapgenError("the training clips have fewer than 2 labels; a tagger tells labels apart.")
        config = recipe.tagger
        self.data = AudioCache.build(training, config.sample_rate, recipe.cache)
        held_out = [clip for clip in held_out if class_of(clip, recipe.class_field)]
        self.validation = AudioCache.build(held_out, config.sample_rate, recipe.cache) if held_out else None
        self.names = Names(self.data.clips, recipe.class_field)
        config.labels = list(self.names.names)
        with seeded(recipe.training.seed):
            self.tagger = Tagger(config)
        log_mels = LogMels.build(self.data, self.tagger.log_mel, recipe.cache)
        sounds = Sounds(log_mels, recipe.augment, self.tagger.window, self.tagger.log_mel)
        seconds, seed = config.window_seconds, recipe.training.seed
        self.rows = RowMaker(
            self.data, sounds, SceneConfig(), seconds, "labels", recipe.class_field, seed, recipe.repeats
        )

    def networks(self) -> dict[str, nn.Module]:
        return {"tagger": self.tagger}

    def provenance(self) -> dict[str, Any]:
        sets = {"training clips": self.data, "validation clips": self.validation}
        keys = [self.recipe.class_field]
        return {name: describe_clips(data.clips, data.lengths, keys) for name, data in sets.items() if data}

    def batch(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        recipe = self.recipe
        short = index < recipe.augment.whole_from * recipe.training.steps * recipe.training.accumulate
        drawn = self.rows.draw(index, recipe.training.batch_size, short, generator)
        truth, rivals = self._labels(drawn.rows)
        return {"inputs": torch.cat(list(drawn.inputs.values())), "truth": truth, "rivals": rivals}

    def _labels(self, rows: Sequence[BatchRow]) -> tuple[Tensor, Tensor]:
        """Weights (rows, labels) of the true labels, and which labels (rows, labels) are certainly false.

        The first label of a clip (its class, if it has one) weighs as much as all its others together.
        """
        truth = torch.zeros(len(rows), len(self.names.names))
        rivals = torch.ones(len(rows), len(self.names.names), dtype=torch.bool)
        for number, row in enumerate(rows):
            for clip in row.clips:
                first, *others = self.names.true_of(clip)
                truth[number, first] += 1.0
                for other in others:
                    truth[number, other] += 1.0 / len(others)
                rivals[number, list(self.names.possible(clip))] = False
        return truth / truth.sum(1, keepdim=True), rivals

    def loss(self, batch: dict[str, Any], group: str, step: int) -> tuple[Tensor, dict[str, Any]]:
        logits = self.tagger.scores(self.tagger(batch["inputs"])).float()
        rivals = logits.masked_fill(~batch["rivals"], float("-inf")).logsumexp(1, keepdim=True)
        return (batch["truth"] * F.softplus(rivals - logits)).sum(1).mean(), {}

    def evaluate(self) -> dict[str, float]:
        """Shares of the held-out clips whose class is among the highest 1, 3 and 10 of the held-out classes."""
        if self.validation is None:
            return {}
        clips, known = self.validation.clips, set(self.tagger.labels)
        classes = [class_of(clip, self.recipe.class_field).replace("_", " ") for clip in clips]
        names = sorted(known.intersection(classes))
        rows = [row for row, name in enumerate(classes) if name in known]
        if not rows:
            return {}
        parts = [rows[i : i + CLIPS_AT_ONCE] for i in range(0, len(rows), CLIPS_AT_ONCE)]
        rate = self.validation.sample_rate
        features = [self.tagger.embed_audio([self.validation.waveform(i) for i in part], rate) for part in parts]
        logits = self.tagger.logits(torch.cat(features), names)
        truth = [names.index(classes[row]) for row in rows]
        return {f"top_{k}": float(top_k(logits, truth, k).mean()) for k in SHOWN}

    def export(self, directory: Path) -> None:
        self.tagger.save_pretrained(directory)


def run(config: Path | None, overrides: Sequence[str] = ()) -> dict[str, float]:
    """Train a tagger from a recipe: `clapgen train tagger manifest=…`."""
    recipe = load_config(TaggerRecipe, config, overrides)
    return train(TaggerTask(recipe), recipe.training, recipe=recipe)
