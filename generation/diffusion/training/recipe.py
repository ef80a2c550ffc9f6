"""Training the diffusion transformer by flow matching on cached latents and CLAP embeddings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clapgen.clap import Clap
from clapgen.configuration import load_config
from clapgen.data.audio_cache import AudioCache
from clapgen.data.manifest import Clip
from clapgen.data.splits import class_of, split_clips
from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.zero_shot import class_prompts, zero_shot_accuracy
from clapgen.model_store import copy_part, is_same_part, open_model, resolve_model, save_part
from clapgen.training.loop import to_device, train
from clapgen.training.provenance import describe_clips
from clapgen.training.seeds import seeded
from clapgen.training.task import Task, TrainingConfig
from generation.autoencoder.model import Autoencoder
from generation.compatibility import trained_with
from generation.diffusion.config import DiffusionConfig
from generation.diffusion.context import MOST_NEIGHBOURS, Neighbours
from generation.diffusion.model import DiffusionTransformer
from generation.diffusion.training.latents import LatentCache, digest_of_clap, encoder_digest, texts_of
from generation.diffusion.training.neighbours import NeighbourTable
from generation.diffusion.training.starting import start_from
from generation.pipeline import TextToAudio
from generation.prompts.caption_library import distinct_captions, save_captions


@dataclass
class DiffusionRecipe:
    """Data, condition and sizes of a diffusion transformer.

    The condition of a clip is its CLAP text embedding with probability `text_share`, a random point between its text
    and audio embedding with probability `blend_share`, otherwise its audio embedding. It is dropped with probability
    `condition_dropout`, for classifier-free guidance. `noise_scale` is the length of Gaussian noise added to the
    embedding (length 1). The error of each latent channel is weighted by its importance to the decoder to the power
    `importance_power` (0: equal weights): the first few channels carry the identity of a sound, most others fine detail
    that the condition cannot predict. Each batch has crops of one of `crop_seconds`: `training.batch_size` of the
    shortest, fewer of longer ones, so that all batches cost about the same. A share of `uniform_times` of the times is
    uniform, the others are logit-normal, which hardly ever reaches the ends. `exclude_copyleft` leaves out clips with
    that value of "copyleft" in the manifest (gpl, sharealike). `start_from` is a model whose diffusion network is
    trained further; `clap` may be another than that model's (see `starting.start_from`). Each sound is shown up to
    `neighbours` of its nearest training clips, if the network attends to them (`diffusion.context_layers`): none in the
    share `context_dropout`, so that one model serves with and without, and each but the share `neighbour_dropout`.
    """

    manifest: str = ""
    cache: str = "runs/cache"
    latents: str = "runs/latents"
    free_only: bool = False
    exclude_copyleft: list[str] = field(default_factory=list)
    train_split: str = "train"
    validation_split: str = "val"
    class_field: str = "esc50_class"
    autoencoder: str = "default"
    clap: str = "default"
    start_from: str = ""
    neighbours: int = 5
    context_dropout: float = 0.2
    neighbour_dropout: float = 0.3
    crop_seconds: list[float] = field(default_factory=lambda: [2.5, 5.0, 5.0, 10.0])
    text_share: float = 0.5
    blend_share: float = 0.2
    noise_scale: float = 0.1
    importance_power: float = 0.5
    condition_dropout: float = 0.1
    uniform_times: float = 0.1
    evaluation_steps: int = 12
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


class DiffusionTask(Task):
    """Flow matching: predict the velocity of noisy crops of latents.

    `recipe` is a copy of the given one, completed with the sizes and hashes of the autoencoder and the CLAP.
    """

    def __init__(self, recipe: DiffusionRecipe) -> None:
        self.clap = Clap.from_pretrained(recipe.clap)
        folder = open_model(recipe.autoencoder)
        self.autoencoder = Autoencoder.from_pretrained(folder)
        config = dataclasses.replace(
            recipe.diffusion,
            latent_dim=self.autoencoder.latent_dim,
            condition_dim=self.clap.dim,
            window_seconds=max(recipe.crop_seconds),
            **trained_with(recipe.clap, folder),
        )
        self.recipe = recipe = dataclasses.replace(recipe, diffusion=config)
        if config.context_layers and not 1 <= recipe.neighbours <= MOST_NEIGHBOURS:
            raise ClapgenError(f"neighbours must be 1 to {MOST_NEIGHBOURS}, not {recipe.neighbours}.")
        self.frame_rate = self.autoencoder.sample_rate / self.autoencoder.hop_length
        clips, held_out = split_clips(
            recipe.manifest, recipe.train_split, recipe.validation_split, recipe.free_only, recipe.exclude_copyleft
        )
        self.captions = distinct_captions(clips)
        self.class_names = sorted({name for clip in clips if (name := class_of(clip, recipe.class_field))})
        self.made_of = {"encoder": encoder_digest(self.autoencoder)[:12], "CLAP": digest_of_clap(self.clap)[:12]}
        self.training_set, clips = self._latents(clips, "training clips")
        self.validation_set = None
        if held_out:
            self.validation_set, held_out = self._latents(held_out, "validation clips")
        self.neighbours: dict[int, NeighbourTable] = {}
        if config.context_layers:
            sets = [(self.training_set, clips), *([(self.validation_set, held_out)] if self.validation_set else [])]
            for data, own in sets:
                self.neighbours[id(data)] = NeighbourTable.build(data, own, self.training_set, clips)
        self.network = self._network(clips)
        weights = self.autoencoder.latent_importance() ** recipe.importance_power
        self.channel_weights = (weights / weights.mean())[:, None]  # (latent_dim, 1)

    def _network(self, clips: Sequence[Clip]) -> DiffusionTransformer:
        recipe = self.recipe
        with seeded(recipe.training.seed):
            if not recipe.start_from:
                return DiffusionTransformer(recipe.diffusion)
            texts = [text for clip in clips for text in texts_of(clip, recipe.class_field)]
            return start_from(recipe.start_from, recipe.diffusion, self.clap, texts)

    def _latents(self, clips: list[Clip], name: str) -> tuple[LatentCache, list[Clip]]:
        recipe = self.recipe
        audio = AudioCache.build(clips, self.autoencoder.sample_rate, recipe.cache)
        self.made_of[name] = describe_clips(audio.clips, audio.lengths, [recipe.class_field])
        longest = max(recipe.crop_seconds)
        data = LatentCache.build(audio, self.autoencoder, self.clap, recipe.latents, longest, recipe.class_field)
        return data, list(audio.clips)

    def provenance(self) -> dict[str, Any]:
        return self.made_of

    def networks(self) -> dict[str, nn.Module]:
        return {"network": self.network}

    def batch(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        return self._crops(self.training_set, self.recipe.training.batch_size, generator)

    def _crops(self, data: LatentCache, size: int, generator: torch.Generator) -> dict[str, Any]:
        choice = int(torch.randint(len(self.recipe.crop_seconds), (), generator=generator))
        frames = self.autoencoder.frames_for(self.recipe.crop_seconds[choice])
        size = max(1, round(size * min(self.recipe.crop_seconds) / self.recipe.crop_seconds[choice]))
        clips = torch.randint(len(data.audio), (size,), generator=generator)
        sounds = self._sounds_of(data, clips, generator)
        room = (data.lengths[sounds] - frames).clamp(min=0)
        offset = (torch.rand(size, generator=generator) * (room + 1)).long()
        valid = data.lengths[sounds].clamp(max=frames)
        position = torch.arange(frames).expand(size, -1)
        mask = position < valid[:, None]
        rows = data.starts[sounds, None] + offset[:, None] + torch.minimum(position, valid[:, None] - 1)
        latents = data.latents[rows].float().transpose(1, 2) * mask[:, None]
        texts = self._texts(data, clips, generator)
        table = self.neighbours.get(id(data))
        recipe, neighbours = self.recipe, dict[str, Any]()
        if table is not None:
            drawn = table.draw(
                clips, texts, recipe.neighbours, generator, recipe.context_dropout, recipe.neighbour_dropout
            )
            neighbours = {"neighbours": vars(drawn)}
        return {
            **neighbours,
            "latents": latents,
            "noise": torch.randn(latents.shape, generator=generator),
            "time": self._times(size, generator),
            "mask": mask,
            "seconds": valid / self.frame_rate,
            "condition": self._condition(data, clips, texts, generator),
            "dropped": torch.rand(size, generator=generator) < self.recipe.condition_dropout,
        }

    def _times(self, size: int, generator: torch.Generator) -> Tensor:
        """Logit-normal times, because the middle is the hardest part (Esser et al. 2024), and some uniform ones."""
        middle, anywhere = torch.sigmoid(torch.randn(size, generator=generator)), torch.rand(size, generator=generator)
        uniform = torch.rand(size, generator=generator) < self.recipe.uniform_times
        return torch.where(uniform, anywhere, middle)

    def _sounds_of(self, data: LatentCache, clips: Tensor, generator: torch.Generator) -> Tensor:
        """One version of each clip, as it is or extended; they are adjacent in the cache."""
        first = torch.searchsorted(data.clip_of, clips)
        count = torch.searchsorted(data.clip_of, clips, right=True) - first
        return first + (torch.rand(len(clips), generator=generator) * count).long()

    def _texts(self, data: LatentCache, clips: Tensor, generator: torch.Generator) -> Tensor:
        """A random text of each clip (batch,), or -1."""
        count = data.text_starts[clips + 1] - data.text_starts[clips]
        pick = data.text_starts[clips] + (torch.rand(len(clips), generator=generator) * count).long()
        return torch.where(count > 0, pick, -1)

    def _condition(self, data: LatentCache, clips: Tensor, texts: Tensor, generator: torch.Generator) -> Tensor:
        recipe, size = self.recipe, len(clips)
        audio = data.audio[clips]
        text = audio  # for clips without any text
        if len(data.text):
            text = torch.where(texts[:, None] >= 0, data.text[texts.clamp(min=0)], audio)
        kind = torch.rand(size, 1, generator=generator)
        blend = torch.rand(size, 1, generator=generator)
        share = torch.where(kind < recipe.text_share, 1.0, torch.where(kind < 1 - recipe.blend_share, 0.0, blend))
        noise = torch.randn(audio.shape, generator=generator) * recipe.noise_scale / audio.shape[1] ** 0.5
        return F.normalize(share * text + (1 - share) * audio + noise, dim=-1)

    def loss(self, batch: dict[str, Any], group: str, step: int) -> tuple[Tensor, dict[str, Any]]:
        time, noise, latents, mask = batch["time"], batch["noise"], batch["latents"], batch["mask"]
        noisy = torch.lerp(latents, noise, time[:, None, None])
        condition = torch.where(batch["dropped"][:, None], self.network.null_condition, batch["condition"])
        valid = None if bool(mask.all()) else mask
        neighbours = Neighbours(**batch["neighbours"]) if "neighbours" in batch else None
        velocity = self.network(noisy, time, condition, batch["seconds"], valid, neighbours)
        error = (self.channel_weights.to(velocity.device) * (velocity.float() - (noise - latents)).square()).mean(1)
        return (error * mask).sum() / mask.sum(), {}

    def evaluate(self) -> dict[str, float]:
        """Flow-matching loss on held-out crops, and the share of class prompts that give sounds of their class."""
        metrics: dict[str, float] = {}
        if self.validation_set is not None:
            size, device = self.recipe.training.batch_size, self.network.null_condition.device
            batches = (self._crops(self.validation_set, size, torch.Generator().manual_seed(i)) for i in range(8))
            losses = [self.loss(to_device(batch, device), "model", 0)[0] for batch in batches]
            metrics["loss"] = float(torch.stack(losses).mean())
        if self.class_names:
            metrics["prompt_accuracy"] = self._prompt_accuracy()
        return metrics

    def _prompt_accuracy(self) -> float:
        prompts = class_prompts(self.class_names)
        device = self.network.null_condition.device
        pipeline = TextToAudio(self.network, self.autoencoder.to(device), self.clap.to(device), name="training")
        sounds = pipeline.generate(prompts, seconds=5.0, num_steps=self.recipe.evaluation_steps, seed=0)
        audio = self.clap.embed_audio([s.waveform for s in sounds], self.autoencoder.sample_rate)
        return zero_shot_accuracy(audio, self.clap.embed_text(prompts), torch.arange(len(prompts)))

    def export(self, directory: Path) -> None:
        """Write a whole model for `clapgen generate --model`, including the parts that it was trained with and the
        captions, for `--edit-prompt`."""
        save_part(directory, "diffusion", self.recipe.diffusion, self.network)
        if self.captions:
            save_captions(directory, self.captions)
        for part, source in (("clap", self.recipe.clap), ("autoencoder", self.recipe.autoencoder)):
            if not is_same_part(resolve_model(source), directory, part):
                copy_part(resolve_model(source), directory, part)


def run(config: Path | None, overrides: Sequence[str] = ()) -> dict[str, float]:
    """Train a diffusion transformer according to a recipe: `clapgen train diffusion manifest=…`."""
    recipe = load_config(DiffusionRecipe, config, overrides)
    task = DiffusionTask(recipe)
    return train(task, recipe.training, recipe=task.recipe)
