"""Training a CLAP: which clips, which augmentation, which objectives, and how it is judged on the way."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from clapgen.clap import Clap, ClapConfig, TextTowerConfig
from clapgen.clap.model import LARGEST_LOG_LOGIT_SCALE
from clapgen.clap.text_tower import TextTower, tokenize, train_tokenizer
from clapgen.configuration import load_config
from clapgen.data.audio_cache import AudioCache
from clapgen.data.manifest import Clip, held_out_clips, training_clips
from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.retrieval import retrieval
from clapgen.metrics.embeddings.zero_shot import class_prompts, zero_shot_accuracy
from clapgen.training.loop import Task, TrainingConfig, train, weight_decay_groups
from clapgen.training.seeds import seeded
from pretrain.data import augment, captions
from pretrain.distillation import load_text_tower
from pretrain.objectives.base import make_objective
from pretrain.objectives.prompt_classification import PromptClassification, true_names


@dataclass
class AugmentConfig:
    """What is done to the sound: gain in dB, a random shift in time, SpecAugment stripes, mixing of two clips."""

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

    `objectives` maps names (infonce, soft-infonce, sigmoid) to weights; `prompt_classification` weighs the
    classification of every clip among the prompts of all labels. `positives` says which rows of a batch share the
    truth under soft objectives: those of one "recording" or with the same "labels" (by recording where there are none).
    `text_model` is a folder with a distilled text tower (`clapgen train text`), trained on at
    `text_learning_rate_scale` (0 keeps it as it is). `start_from` is a model whose CLAP is trained on instead of a new
    one; `lock_text` keeps every weight of the text side, so that what was trained on its text embeddings stays valid.
    """

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
    objectives: dict[str, float] = field(default_factory=lambda: {"soft-infonce": 1.0})
    prompt_classification: float = 1.0
    positives: str = "labels"
    clap: ClapConfig = field(default_factory=ClapConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


class ClapTask(Task):
    """Pairs of sounds and captions from a cache, pulled together by the recipe's objectives."""

    def __init__(self, recipe: ClapRecipe) -> None:
        if recipe.positives not in ("recording", "labels"):
            raise ClapgenError(f'positives must be "recording" or "labels", not "{recipe.positives}"')
        self.recipe = recipe
        chosen = training_clips(recipe.manifest, recipe.train_split, recipe.free_only)
        text = load_text_tower(Path(recipe.text_model)) if recipe.text_model else None  # before hours of decoding
        rate = recipe.clap.audio.sample_rate
        self.data = AudioCache.build(chosen, rate, recipe.cache)
        held_out = held_out_clips(recipe.manifest, recipe.validation_split)
        self.validation = AudioCache.build(held_out, rate, recipe.cache) if held_out else None
        with seeded(recipe.training.seed):
            self.clap = self._model(text)
        self.log_mel = copy.deepcopy(self.clap.audio_tower.log_mel)  # stays on the CPU, where batches are made
        self.groups = self._group_numbers(self.data.clips)
        names = sorted({n for clip in self.data.clips for n in true_names(clip, recipe.class_field)})
        self.prompts = PromptClassification(names) if names and recipe.prompt_classification else None
        self.objectives = nn.ModuleDict({name: make_objective(name) for name in recipe.objectives})

    def _model(self, text: tuple[TextTower, TextTowerConfig, Tokenizer] | None) -> Clap:
        recipe = self.recipe
        clap = Clap.from_pretrained(recipe.start_from) if recipe.start_from else self._new_model(text)
        clap.text_tower.requires_grad_(recipe.text_learning_rate_scale > 0 and not recipe.lock_text)
        clap.text_projection.requires_grad_(not recipe.lock_text)
        return clap

    def _new_model(self, text: tuple[TextTower, TextTowerConfig, Tokenizer] | None) -> Clap:
        config = self.recipe.clap
        if text is None:
            texts = [text for clip in self.data.clips for text in [*clip.captions, *clip.labels]]
            return Clap(config, train_tokenizer(sorted(texts), config.text.vocab_size))
        tower, config.text, tokenizer = text
        clap = Clap(config, tokenizer)
        clap.text_tower.load_state_dict(tower.state_dict())
        return clap

    def _group_numbers(self, clips: list[Clip]) -> list[int]:
        by_labels = self.recipe.positives == "labels"
        keys = ["|".join(sorted(c.labels)) if by_labels and c.labels else c.recording or str(c.path) for c in clips]
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        return [numbers[key] for key in keys]

    def networks(self) -> dict[str, nn.Module]:
        return {"clap": self.clap, "objectives": self.objectives}

    def parameter_groups(self) -> dict[str, list[dict[str, Any]]]:
        groups = weight_decay_groups([self.clap.audio_tower, self.clap.audio_projection, self.clap.text_projection])
        text = weight_decay_groups([self.clap.text_tower])
        scalars = {"params": [self.clap.log_logit_scale, *self.objectives.parameters()], "weight_decay": 0.0}
        scale = self.recipe.text_learning_rate_scale
        return {"model": [*groups, scalars, *({**g, "learning_rate_scale": scale} for g in text if g["params"])]}

    def batch(self, index: int, generator: torch.Generator) -> dict[str, Tensor]:
        size, options = self.recipe.training.batch_size, self.recipe.augment
        rows = torch.randint(len(self.data), (2, size), generator=generator).tolist()
        window = self.clap.window
        first, second = (augment.batch_of_crops(self.data, row, window, generator) for row in rows)
        mixed = torch.rand(size, generator=generator) < options.mix_probability
        mixture = augment.mix_at_snr(first, second, generator, *options.mix_snr_db)
        waveforms = augment.random_gain(torch.where(mixed[:, None], mixture, first), generator, *options.gain_db)
        log_mel = self.log_mel(waveforms)
        log_mel = augment.spec_augment(
            augment.random_roll(log_mel, generator) if options.roll else log_mel,
            generator,
            options.time_masks,
            options.time_width,
            options.frequency_masks,
            options.frequency_width,
        )
        texts = [self._caption(a, b, bool(m), generator) for a, b, m in zip(*rows, mixed, strict=True)]
        tokens, mask = tokenize(self.clap.tokenizer, texts, self.clap.text_tower.max_tokens)
        groups = [
            len(self.data) * (self.groups[b] + 1) + self.groups[a] if m else self.groups[a]
            for a, b, m in zip(*rows, mixed, strict=True)
        ]
        batch = {"log_mel": log_mel, "tokens": tokens, "mask": mask, "groups": torch.tensor(groups)}
        if self.prompts:
            clips = self.data.clips
            mixtures = [[clips[i] for i in ((a, b) if m else (a,))] for a, b, m in zip(*rows, mixed, strict=True)]
            batch["truth"] = self.prompts.truth(mixtures, self.recipe.class_field)
            batch["prompt_tokens"], batch["prompt_mask"] = tokenize(
                self.clap.tokenizer, self.prompts.texts(generator), self.clap.text_tower.max_tokens
            )
        return batch

    def _caption(self, first: int, second: int, mixed: bool, generator: torch.Generator) -> str:
        caption = captions.choose_caption(self.data.clips[first], generator)
        if mixed:
            caption = captions.join_captions(
                caption, captions.choose_caption(self.data.clips[second], generator), generator
            )
        return caption

    def loss(self, batch: dict[str, Tensor], group: str, step: int) -> tuple[Tensor, dict[str, Any]]:
        clap = self.clap
        with torch.no_grad():  # held at the limit, as CLIP does: past it there is no gradient to come back by
            clap.log_logit_scale.clamp_(max=LARGEST_LOG_LOGIT_SCALE)
        audio = clap.project_audio(batch["log_mel"])
        text = clap.project_text(batch["tokens"], batch["mask"])
        scale = clap.logit_scale
        total, details = audio.new_zeros(()), {}
        for name, objective in self.objectives.items():
            value = objective(audio, text, scale, batch["groups"])
            total = total + self.recipe.objectives[name] * value
            details[name] = value
        if self.prompts:
            prompts = clap.project_text(batch["prompt_tokens"], batch["prompt_mask"])
            value = self.prompts(audio, prompts, scale, batch["truth"])
            total = total + self.recipe.prompt_classification * value
            details["prompts"] = value
        return total, {**details, "logit_scale": scale}

    def evaluate(self) -> dict[str, float]:
        """Zero-shot accuracy of the clips that have a class, retrieval over all held-out clips."""
        if self.validation is None:
            return {}
        clips = self.validation.clips
        waveforms = [self.validation.waveform(i) for i in range(len(clips))]
        audio = self.clap.embed_audio(waveforms, self.validation.sample_rate)
        metrics = retrieval_figures(self.clap, audio, clips)
        return {**metrics, **zero_shot_figures(self.clap, audio, clips, self.recipe.class_field)}

    def export(self, directory: Path) -> None:
        self.clap.save_pretrained(directory)


def zero_shot_figures(clap: Clap, audio: Tensor, clips: Sequence[Clip], class_field: str) -> dict[str, float]:
    """Zero-shot accuracy over the clips that carry a class in `class_field`, among all classes seen there."""
    classified = [i for i, clip in enumerate(clips) if clip.extra.get(class_field)]
    if not classified:
        return {}
    names = sorted({clips[i].extra[class_field] for i in classified})
    truth = torch.tensor([names.index(clips[i].extra[class_field]) for i in classified])
    prompts = clap.embed_text(class_prompts(names))
    return {"zero_shot_accuracy": zero_shot_accuracy(audio[classified], prompts, truth)}


def retrieval_figures(clap: Clap, audio: Tensor, clips: Sequence[Clip]) -> dict[str, float]:
    """Retrieval both ways over the clips' captions."""
    owners = torch.tensor([i for i, clip in enumerate(clips) for _ in clip.captions])
    text = clap.embed_text([caption for clip in clips for caption in clip.captions])
    return retrieval(audio, text, owners).as_dict() if len(text) else {}


def run(config: Path | None, overrides: Sequence[str] = ()) -> dict[str, float]:
    """Train a CLAP by a recipe: `clapgen train clap manifest=…`."""
    recipe = load_config(ClapRecipe, config, overrides)
    return train(ClapTask(recipe), recipe.training, recipe=recipe)
