"""The recipe of a CLAP: training clips, augmentation, objectives and validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clapgen.clap import Clap, ClapConfig
from clapgen.clap.model import LARGEST_LOG_LOGIT_SCALE
from clapgen.configuration import load_config
from clapgen.data.audio_cache import AudioCache
from clapgen.data.manifest import Clip
from clapgen.data.splits import class_of, split_clips
from clapgen.embedders.cache import EmbeddingCache
from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.retrieval import retrieval
from clapgen.metrics.embeddings.zero_shot import class_prompts, zero_shot_accuracy
from clapgen.training.loop import train
from clapgen.training.provenance import describe_clips
from clapgen.training.seeds import seeded
from clapgen.training.task import Task, TrainingConfig, weight_decay_groups
from pretrain.data import captions
from pretrain.data.log_mels import LogMels
from pretrain.data.rows import RowMaker, SceneConfig
from pretrain.data.sounds import AugmentConfig, Sounds
from pretrain.model import build_clap, parameters_of_frames, parameters_of_states
from pretrain.objectives import ClapBatch, Objective, create_objectives
from pretrain.objectives.distillation import check_teachers
from pretrain.teachers.table import TeacherTable
from pretrain.texts import Texts, project

CLIPS_IN_MEMORY = 64


@dataclass
class ClapRecipe:
    """A CLAP's data, sizes and objectives.

    `objectives` maps names (of `pretrain.objectives.OBJECTIVES`) to weights; a weight of 0 leaves one out.
    `objective_options` maps names to their options, such as {"given-negatives": {"count": 2}}.
    `positives` decides which rows of a batch are positives of each other under soft objectives: rows from the same
    "recording", or rows with the same "labels" (from the same recording if they have none).
    `class_field` is the key of the manifest that holds a clip's class. `repeats` maps "FIELD=VALUE" of the manifest to
    how many times an epoch has each such clip.
    `text_model` is a folder with a distilled text tower (`clapgen train text`). It is fine-tuned at
    `text_learning_rate_scale` times the learning rate; 0 freezes it, and its states are looked up.
    `audio_learning_rate_scale` is the same for the audio tower up to its frames; their pooling and the projections are
    always trained.
    `start_from` is a model whose CLAP is trained further instead of a new one, with the temporal pooling and frame head
    that `clap` asks for. Its own text tower stays, unless `replace_text` puts the one of `text_model` in its place.
    `lock_text` freezes its whole text side, so that models trained on its text embeddings stay valid.
    `teachers` maps names to tables of targets for the training clips (`clapgen pretrain teacher`), for `distillation`.
    """

    RENAMED_KEYS: ClassVar[dict[str, str]] = {"prompt_classification": "objectives.prompt-classification"}

    manifest: str = ""
    cache: str = "runs/cache"
    free_only: bool = False
    train_split: str = "train"
    validation_split: str = "val"
    class_field: str = "esc50_class"
    text_model: str = ""
    audio_learning_rate_scale: float = 1.0
    text_learning_rate_scale: float = 0.0
    start_from: str = ""
    replace_text: bool = False
    lock_text: bool = False
    objectives: dict[str, float] = field(default_factory=lambda: {"soft-infonce": 1.0, "prompt-classification": 1.0})
    objective_options: dict[str, dict[str, Any]] = field(default_factory=dict)
    positives: str = "labels"
    repeats: dict[str, int] = field(default_factory=dict)
    clap: ClapConfig = field(default_factory=ClapConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    scenes: SceneConfig = field(default_factory=SceneConfig)
    teachers: dict[str, str] = field(default_factory=dict)
    training: TrainingConfig = field(default_factory=TrainingConfig)


class ClapTask(Task):
    """Batches of sounds and captions from an audio cache, trained with the recipe's objectives."""

    def __init__(self, recipe: ClapRecipe) -> None:
        if recipe.positives not in ("recording", "labels"):
            raise ClapgenError(f'positives must be "recording" or "labels", not "{recipe.positives}"')
        self.recipe = recipe
        objectives = create_objectives(recipe.objectives, recipe.objective_options)
        if not objectives:
            raise ClapgenError("the recipe has no objective with a weight; set one, e.g. objectives.infonce=1")
        check_teachers(objectives.values(), recipe.teachers)
        contrastive = [name for name, objective in objectives.items() if objective.contrastive]
        if contrastive and recipe.training.batch_size == 1:
            raise ClapgenError(f"{contrastive[0]} compares the rows of a batch: training.batch_size must be at least 2")
        training, held_out = split_clips(recipe.manifest, recipe.train_split, recipe.validation_split, recipe.free_only)
        training = captions.clips_with_text(training)
        with seeded(recipe.training.seed):
            self.clap, self.origin = build_clap(recipe, training)  # before hours of decoding
        self.data = AudioCache.build(training, self.clap.sample_rate, recipe.cache)
        self.validation = AudioCache.build(held_out, self.clap.sample_rate, recipe.cache) if held_out else None
        cache = EmbeddingCache() if recipe.teachers else None  # knows the contents of files that have not changed
        self.teachers = {
            name: TeacherTable.load(file, self.data.clips, held_out, cache=cache)
            for name, file in recipe.teachers.items()
        }
        self.rows = self._row_maker()
        self.texts = Texts(self.clap, frozen=not any(p.requires_grad for p in parameters_of_states(self.clap)))
        widths = {name: table.targets.shape[1] for name, table in self.teachers.items()}
        self.seconds = torch.as_tensor(self.data.lengths) / self.data.sample_rate
        with seeded(recipe.training.seed + 1):
            for objective in objectives.values():
                objective.prepare(self.data.clips, recipe.class_field)
                objective.set_widths(self.clap.dim, self.clap.audio_tower.width, widths)
        for name, table in self.teachers.items():
            if not any(objective.keeps_mean(name) for objective in objectives.values()):
                self.teachers[name] = table.centred()
        self.objectives = nn.ModuleDict(objectives)

    def _row_maker(self) -> RowMaker:
        recipe, clap = self.recipe, self.clap
        front_end = clap.audio_tower.front_end
        log_mels = LogMels.build(self.data, front_end, recipe.cache)
        return RowMaker(
            self.data,
            Sounds(log_mels, recipe.augment, clap.window, front_end),
            recipe.scenes,
            clap.window / clap.sample_rate,
            recipe.positives,
            recipe.class_field,
            recipe.training.seed,
            recipe.repeats,
        )

    def networks(self) -> dict[str, nn.Module]:
        return {"clap": self.clap, "objectives": self.objectives}

    def provenance(self) -> dict[str, Any]:
        sets = {"training clips": self.data, "validation clips": self.validation}
        keys = [self.recipe.class_field]
        return {n: describe_clips(data.clips, data.lengths, keys) for n, data in sets.items() if data} | self.origin

    def assets(self) -> dict[str, str]:
        return {"tokenizer": self.clap.tokenizer.to_str()}

    def parameter_groups(self) -> dict[str, list[dict[str, Any]]]:
        clap = self.clap
        poolings = [getattr(tower, "temporal", None) or nn.Identity() for tower in (clap.audio_tower, clap.text_tower)]
        heads = [clap.audio_projection, clap.text_projection, clap.frame_head or nn.Identity()]
        groups = weight_decay_groups([*poolings, *heads])
        scalars = {"params": [clap.log_logit_scale, *self.objectives.parameters()], "weight_decay": 0.0}
        for parameters, scale in (
            (parameters_of_frames(clap), self.recipe.audio_learning_rate_scale),
            (parameters_of_states(clap), self.recipe.text_learning_rate_scale),
        ):
            tower = weight_decay_groups([nn.ParameterList(parameters)])
            groups += [{**group, "learning_rate_scale": scale} for group in tower if group["params"]]
        return {"model": [*groups, scalars]}

    def prepare(self, step: int) -> None:
        """A frozen audio tower is as it is at inference: no dropout, and the statistics it was trained with."""
        if not self.recipe.audio_learning_rate_scale:
            self.clap.audio_tower.eval()

    def batch(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        recipe = self.recipe
        short = index < recipe.augment.whole_from * recipe.training.steps * recipe.training.accumulate
        drawn = self.rows.draw(index, recipe.training.batch_size, short, generator)
        extra = {name: objective.draw(drawn.rows, generator) for name, objective in self._objectives()}
        return {
            "inputs": drawn.inputs,
            "text": self.texts.prepare([row.caption for row in drawn.rows]),
            "rows": drawn.rows,
            "groups": drawn.groups,
            "teachers": {
                name: table.of(drawn.single, drawn.middles, self.seconds) for name, table in self.teachers.items()
            },
            "extra": {
                name: {key: self.texts.prepare(v) if isinstance(v, list) else v for key, v in values.items()}
                for name, values in extra.items()
            },
        }

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
                key: project(self.clap, value) if isinstance(value, dict) else value
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
        with nullcontext() if self.recipe.audio_learning_rate_scale else torch.no_grad():
            frames = [clap.audio_tower.frames(inputs) for inputs in batch["inputs"].values()]
        features = torch.cat([clap.audio_tower.pool(part) for part in frames])
        return ClapBatch(
            audio=clap.project_features(features),
            text=project(clap, batch["text"]),
            logit_scale=clap.logit_scale,
            groups=batch["groups"],
            rows=batch["rows"],
            features=features,
            teachers=batch["teachers"],
            step=step,
            frame_head=clap.frame_head,
            frame_rate=clap.audio_tower.frame_rate,
            make_frames=lambda: clap.project_frames(joined_frames(frames)),
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


def joined_frames(parts: Sequence[Tensor]) -> Tensor:
    """Frames (batch, frames, width) of parts of different lengths, the shorter ones followed by zeros."""
    longest = max(part.shape[1] for part in parts)
    return torch.cat([F.pad(part, (0, 0, 0, longest - part.shape[1])) for part in parts])


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
