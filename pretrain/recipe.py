"""The recipe of a CLAP: training clips, augmentation, objectives and validation."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from clapgen.clap import Clap, ClapConfig
from clapgen.clap.model import LARGEST_LOG_LOGIT_SCALE
from clapgen.clap.tokenizer import tokenize, train_tokenizer
from clapgen.configuration import load_config
from clapgen.data.audio_cache import AudioCache
from clapgen.data.manifest import Clip
from clapgen.data.splits import class_of, split_clips
from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.retrieval import retrieval
from clapgen.metrics.embeddings.zero_shot import class_prompts, zero_shot_accuracy
from clapgen.model_store import weights_hash
from clapgen.training.loop import train
from clapgen.training.provenance import describe_clips, stored_asset
from clapgen.training.seeds import seeded
from clapgen.training.task import Task, TrainingConfig, weight_decay_groups
from pretrain.data import augment, captions
from pretrain.distillation import load_text_tower
from pretrain.objectives import OBJECTIVES, BatchRow, ClapBatch, Objective

CLIPS_IN_MEMORY = 64


@dataclass
class AugmentConfig:
    """Augmentation of the audio.

    `gain_db` and `mix_snr_db` are ranges in dB; `mix_probability` is the share of rows that are mixtures of two clips;
    `roll` shifts each row by a random time; the masks are SpecAugment's, their widths in mel frames and mel bands.
    """

    gain_db: list[float] = field(default_factory=lambda: [-12.0, 6.0])
    roll: bool = True
    mix_probability: float = 0.5
    mix_snr_db: list[float] = field(default_factory=lambda: [-6.0, 6.0])
    time_masks: int = 2
    time_width: int = 80
    frequency_masks: int = 2
    frequency_width: int = 12


@dataclass
class ClapRecipe:
    """A CLAP's data, sizes and objectives.

    `objectives` maps names (infonce, soft-infonce, sigmoid, prompt-classification) to weights; a weight of 0 leaves one
    out. `positives` decides which rows of a batch are positives of each other under soft objectives: rows from the same
    "recording", or rows with the same "labels" (from the same recording if they have none). `class_field` is the key of
    the manifest that holds a clip's class.
    `text_model` is a folder with a distilled text tower (`clapgen train text`). It is fine-tuned at
    `text_learning_rate_scale` times the learning rate; 0 freezes it. `start_from` is a model whose CLAP is trained
    further instead of a new one; `lock_text` freezes its whole text side, so that models trained on its text embeddings
    stay valid.
    """

    RENAMED_KEYS: ClassVar[dict[str, str]] = {"prompt_classification": "objectives.prompt-classification"}

    manifest: str = ""
    cache: str = "runs/cache"
    free_only: bool = False
    train_split: str = "train"
    validation_split: str = "val"
    class_field: str = "esc50_class"
    text_model: str = ""
    text_learning_rate_scale: float = 0.0
    start_from: str = ""
    lock_text: bool = False
    objectives: dict[str, float] = field(default_factory=lambda: {"soft-infonce": 1.0, "prompt-classification": 1.0})
    positives: str = "labels"
    clap: ClapConfig = field(default_factory=ClapConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


class ClapTask(Task):
    """Batches of sounds and captions from an audio cache, trained with the recipe's objectives."""

    def __init__(self, recipe: ClapRecipe) -> None:
        if recipe.positives not in ("recording", "labels"):
            raise ClapgenError(f'positives must be "recording" or "labels", not "{recipe.positives}"')
        self.recipe = recipe
        objectives: dict[str, Objective] = {
            n: OBJECTIVES.create(n) for n, weight in recipe.objectives.items() if weight
        }
        if not objectives:
            raise ClapgenError("the recipe has no objective with a weight; set one, e.g. objectives.infonce=1")
        contrastive = [name for name, objective in objectives.items() if objective.contrastive]
        if contrastive and recipe.training.batch_size == 1:
            raise ClapgenError(f"{contrastive[0]} compares the rows of a batch: training.batch_size must be at least 2")
        training, held_out = split_clips(recipe.manifest, recipe.train_split, recipe.validation_split, recipe.free_only)
        training = captions.clips_with_text(training)
        with seeded(recipe.training.seed):
            self.clap = self._model(training)  # before hours of decoding
        self.data = AudioCache.build(training, self.clap.sample_rate, recipe.cache)
        self.validation = AudioCache.build(held_out, self.clap.sample_rate, recipe.cache) if held_out else None
        self.front_end = copy.deepcopy(self.clap.audio_tower.front_end)  # stays on the CPU, where batches are made
        self.groups = self._group_numbers(self.data.clips)
        for objective in objectives.values():
            objective.prepare(self.data.clips, recipe.class_field)
        self.objectives = nn.ModuleDict(objectives)

    def _model(self, clips: Sequence[Clip]) -> Clap:
        recipe = self.recipe
        tokenizer = stored_asset(recipe.training.output, "tokenizer")
        known = Tokenizer.from_str(tokenizer) if tokenizer else None
        if recipe.start_from:
            clap = Clap.from_pretrained(recipe.start_from)
            recipe.clap, clap.tokenizer = clap.config, known or clap.tokenizer
            self.origin = {"start_from": clap.hash}
        else:
            clap = self._new_model(clips, known)
        clap.text_tower.requires_grad_(recipe.text_learning_rate_scale > 0 and not recipe.lock_text)
        clap.text_projection.requires_grad_(not recipe.lock_text)
        return clap

    def _new_model(self, clips: Sequence[Clip], tokenizer: Tokenizer | None) -> Clap:
        config, folder = self.recipe.clap, Path(self.recipe.text_model)
        if not self.recipe.text_model:
            self.origin = {}
            texts = [text for clip in clips for text in [*clip.captions, *clip.labels]]
            return Clap(config, tokenizer or train_tokenizer(sorted(texts), config.text.vocab_size))
        tower, config.text, distilled = load_text_tower(folder)
        self.origin = {"text_model": weights_hash(folder, "text")}
        clap = Clap(config, tokenizer or distilled)
        clap.text_tower.load_state_dict(tower.state_dict())
        return clap

    def _group_numbers(self, clips: list[Clip]) -> list[int]:
        by_labels = self.recipe.positives == "labels"
        keys = ["|".join(sorted(c.labels)) if by_labels and c.labels else c.recording or str(c.path) for c in clips]
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        return [numbers[key] for key in keys]

    def networks(self) -> dict[str, nn.Module]:
        return {"clap": self.clap, "objectives": self.objectives}

    def provenance(self) -> dict[str, Any]:
        sets = {"training clips": self.data, "validation clips": self.validation}
        keys = [self.recipe.class_field]
        return {n: describe_clips(data.clips, data.lengths, keys) for n, data in sets.items() if data} | self.origin

    def assets(self) -> dict[str, str]:
        return {"tokenizer": self.clap.tokenizer.to_str()}

    def parameter_groups(self) -> dict[str, list[dict[str, Any]]]:
        groups = weight_decay_groups([self.clap.audio_tower, self.clap.audio_projection, self.clap.text_projection])
        text = weight_decay_groups([self.clap.text_tower])
        scalars = {"params": [self.clap.log_logit_scale, *self.objectives.parameters()], "weight_decay": 0.0}
        scale = self.recipe.text_learning_rate_scale
        return {"model": [*groups, scalars, *({**g, "learning_rate_scale": scale} for g in text if g["params"])]}

    def batch(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        size = self.recipe.training.batch_size
        rows = distinct_rows(2 * size, len(self.data), generator).view(2, size).tolist()
        inputs, mixed = self._sounds(rows[0], rows[1], generator)
        members = [(a, b) if m else (a,) for a, b, m in zip(*rows, mixed, strict=True)]  # clips of each row
        texts = [self._caption(row, generator) for row in members]
        described = [BatchRow(tuple(self.data.clips[i] for i in m), t) for m, t in zip(members, texts, strict=True)]
        drawn = {name: objective.draw(described, generator) for name, objective in self._objectives()}
        return {
            "inputs": inputs,
            **self._tokens(texts),
            "rows": described,
            "groups": torch.tensor([self._group(*row) for row in members]),
            "extra": {
                name: {key: self._tokens(v) if isinstance(v, list) else v for key, v in extra.items()}
                for name, extra in drawn.items()
            },
        }

    def _sounds(self, first: list[int], second: list[int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Augmented inputs (batch, bands, time) of the audio tower, and which rows are mixtures (batch,)."""
        options, window = self.recipe.augment, self.clap.window
        crops, others = (augment.batch_of_crops(self.data, rows, window, generator) for rows in (first, second))
        mixed = torch.rand(len(first), generator=generator) < options.mix_probability
        mixture = augment.mix_at_snr(crops, others, generator, *options.mix_snr_db)
        waveforms = augment.random_gain(torch.where(mixed[:, None], mixture, crops), generator, *options.gain_db)
        inputs = self.front_end(waveforms)
        inputs = augment.spec_augment(
            augment.random_roll(inputs, generator) if options.roll else inputs,
            generator,
            options.time_masks,
            options.time_width,
            options.frequency_masks,
            options.frequency_width,
        )
        return inputs, mixed

    def _caption(self, row: Sequence[int], generator: torch.Generator) -> str:
        texts = [captions.choose_caption(self.data.clips[i], generator) for i in row]
        return captions.join_captions(texts[0], texts[1], generator) if len(texts) == 2 else texts[0]

    def _group(self, first: int, second: int | None = None) -> int:
        """A number that a mixture shares only with mixtures of the same two groups."""
        if second is None:
            return self.groups[first]
        return len(self.data) * (self.groups[second] + 1) + self.groups[first]

    def _tokens(self, texts: list[str]) -> dict[str, Tensor]:
        tokens, mask = tokenize(self.clap.tokenizer, texts, self.clap.text_tower.max_tokens)
        return {"tokens": tokens, "mask": mask}

    def _objectives(self) -> Iterator[tuple[str, Objective]]:
        for name, objective in self.objectives.items():
            assert isinstance(objective, Objective)  # a ModuleDict forgets the type
            yield name, objective

    def loss(self, batch: dict[str, Any], group: str, step: int) -> tuple[Tensor, dict[str, Any]]:
        clap_batch = self._clap_batch(batch, step)
        total = clap_batch.audio.new_zeros(())
        details: dict[str, Any] = {"logit_scale": clap_batch.logit_scale}
        for name, objective in self._objectives():
            clap_batch.extra = {
                key: self.clap.project_text(**value) if isinstance(value, dict) else value
                for key, value in batch["extra"][name].items()
            }
            loss = objective(clap_batch)
            terms = {name: loss} if isinstance(loss, Tensor) else {f"{name}/{key}": v for key, v in loss.items()}
            for term in terms.values():
                total = total + self.recipe.objectives[name] * term
            details |= terms
        return total, details

    def _clap_batch(self, batch: dict[str, Any], step: int) -> ClapBatch:
        clap = self.clap
        with torch.no_grad():  # clamp the parameter, as CLIP does: past the limit its gradient would be zero for ever
            clap.log_logit_scale.clamp_(max=LARGEST_LOG_LOGIT_SCALE)
        frames = clap.audio_tower.frames(batch["inputs"])
        features = clap.audio_tower.pool(frames)
        return ClapBatch(
            audio=clap.project_features(features),
            text=clap.project_text(batch["tokens"], batch["mask"]),
            logit_scale=clap.logit_scale,
            groups=batch["groups"],
            rows=batch["rows"],
            features=features,
            step=step,
            make_frames=lambda: clap.project_frames(frames),
        )

    def evaluate(self) -> dict[str, float]:
        """Zero-shot accuracy of the held-out clips that have a class, and retrieval over all held-out clips."""
        if self.validation is None:
            return {}
        clips = self.validation.clips
        audio = embed_clips(self.clap, self.validation)
        metrics = caption_retrieval(self.clap, audio, clips)
        return {**metrics, **class_accuracy(self.clap, audio, clips, self.recipe.class_field)}

    def export(self, directory: Path) -> None:
        self.clap.save_pretrained(directory)


def distinct_rows(count: int, total: int, generator: torch.Generator) -> Tensor:
    """`count` of the numbers below `total`, drawn at random; a number is repeated only after all others were drawn."""
    rounds = -(-count // total)
    return torch.cat([torch.randperm(total, generator=generator) for _ in range(rounds)])[:count]


def embed_clips(clap: Clap, cache: AudioCache) -> Tensor:
    """Embeddings (n, dim) of all clips of a cache, a few clips in memory at a time."""
    parts = torch.arange(len(cache)).split(CLIPS_IN_MEMORY)
    waveforms = ([cache.waveform(i) for i in part.tolist()] for part in parts)
    return torch.cat([clap.embed_audio(part, cache.sample_rate) for part in waveforms])


def class_accuracy(clap: Clap, audio: Tensor, clips: Sequence[Clip], class_field: str) -> dict[str, float]:
    """Zero-shot accuracy on the clips with a class in `class_field`, among all classes that occur. `audio` (n, dim)."""
    classes = [class_of(clip, class_field) for clip in clips]
    classified = [i for i, name in enumerate(classes) if name]
    if not classified:
        return {}
    names = sorted({classes[i] for i in classified})
    truth = torch.tensor([names.index(classes[i]) for i in classified])
    prompts = clap.embed_text(class_prompts(names))
    return {"zero_shot_accuracy": zero_shot_accuracy(audio[classified], prompts, truth)}


def caption_retrieval(clap: Clap, audio: Tensor, clips: Sequence[Clip]) -> dict[str, float]:
    """Retrieval metrics in both directions over the captions of all clips; `audio` (n, dim) are their embeddings."""
    owners = torch.tensor([i for i, clip in enumerate(clips) for _ in clip.captions])
    text = clap.embed_text([caption for clip in clips for caption in clip.captions])
    return retrieval(audio, text, owners).as_dict() if len(text) else {}


def run(config: Path | None, overrides: Sequence[str] = ()) -> dict[str, float]:
    """Train a CLAP from a recipe: `clapgen train clap manifest=…`."""
    recipe = load_config(ClapRecipe, config, overrides)
    return train(ClapTask(recipe), recipe.training, recipe=recipe)
