"""Base of the public generators: requests checked as ours are, seeds of each item, mastering, candidates ranked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clapgen.audio.mastering import Level, master
from clapgen.devices import inference
from generation.edits import Edit
from generation.generator import Callback, Generation
from generation.ingredients import Ingredient
from generation.public.catalogue import check_settings
from generation.public.checkpoints import Checkpoint
from generation.ranking import ClapRanker, Scores, best_of
from generation.requests import DEFAULTS, SEEDS, check_level, checked_prompts, checked_seeds, checked_setting
from generation.retrieval import Neighbour

LARGEST_BATCH = 8  # candidates that share a batch on an accelerator
DEFAULT_RANKER = "default"  # of models without a CLAP of their own that embeds audio

Waveform = NDArray[np.float32]


class PublicGenerator(ABC):
    """A generator in the published layout of its authors, behind the interface of `generation.generator.Generator`.

    A subclass loads its parts in `_load`, turns a prompt into a condition in `encode`, and makes waveforms from it in
    `sample`. On a CPU every item runs by itself, so that its samples are the same in any batch.

    Attributes:
        sample_rate: in Hz.
        dtype: of the largest network; the other parts compute in float32.
    """

    sample_rate: int
    networks: Sequence[torch.nn.Module]

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        self.checkpoint, self.device, self.dtype = checkpoint, device, dtype
        self.kind, self.name = checkpoint.kind, checkpoint.name
        self._rankers: dict[str, Scores] = {}
        self._load(checkpoint.folder)

    @abstractmethod
    def _load(self, folder: Path) -> None:
        """Load the parts, and set `sample_rate` and `networks`."""

    @abstractmethod
    def encode(self, prompt: str, negative_prompt: str) -> Any:
        """The condition of a prompt, and what to guide away from: "" unless there is a negative prompt."""

    @abstractmethod
    def sample(
        self, condition: Any, seeds: Sequence[int], settings: Mapping[str, Any], callback: Callback | None
    ) -> list[Waveform]:
        """A waveform (samples,) of the requested length for each seed.

        Args:
            settings: `seconds`, `num_steps` and `guidance_scale`.
        """

    def count_tokens(self, text: str) -> tuple[int, int]:
        """How many tokens a text has, and how many the model reads."""
        return 0, 0

    def own_ranker(self) -> Scores | None:
        """The CLAP that is part of the checkpoint; None if it has none that embeds audio."""
        return None

    def describe(self) -> dict[str, Any]:
        """The model's name, kind and hashes, and the number format; settings that it has no use for are null."""
        return self.checkpoint.identity(str(self.dtype).removeprefix("torch."))

    def prompt_warnings(self, prompts: Sequence[str]) -> dict[str, list[str]]:
        """Prompts with more tokens than the model reads."""
        warnings = {}
        for prompt in dict.fromkeys(prompts):
            tokens, limit = self.count_tokens(prompt)
            if tokens > limit:
                cut = f"'{prompt[:40]}…' has {tokens} tokens; the model reads only the first {limit}."
                warnings[prompt] = [cut]
        return warnings

    def generate(
        self,
        prompts: Iterable[str],
        seconds: float | None = None,
        num_steps: int | None = None,
        guidance_scale: float | None = None,
        negative_prompt: str | None = None,
        seed: int = DEFAULTS.seed,
        candidates: int = DEFAULTS.candidates,
        callback: Callback | None = None,
        seeds: Iterable[int] | None = None,
        sampler: str = DEFAULTS.sampler,
        time_shift: float = DEFAULTS.time_shift,
        peak: float | None = None,
        loudness: float | None = None,
        level: str | None = None,
        neighbours: Sequence[Neighbour | Mapping[str, Any]] = (),
        neighbour_scale: float = DEFAULTS.neighbour_scale,
        neighbour_strength: float = DEFAULTS.neighbour_strength,
        neighbour_blend: float = DEFAULTS.neighbour_blend,
        edit: Edit | Mapping[str, Any] | None = None,
        mix: Sequence[Ingredient | Mapping[str, Any]] = (),
        without: Sequence[Ingredient | Mapping[str, Any]] = (),
        rank_by: str | None = None,
    ) -> list[Generation]:
        """Generate one sound per prompt; arguments as in `TextToAudio.generate`.

        Args:
            seconds, num_steps, guidance_scale: those of the model's authors if None.
            rank_by: a CLAP by name that ranks the candidates; the model's own if None, or else clapgen's.

        Raises:
            ClapgenError: an empty prompt, a value out of its range, or a setting that means nothing to this model.
        """
        texts = checked_prompts(prompts)
        wanted = {
            "seconds": seconds, "num_steps": num_steps, "guidance_scale": guidance_scale, "candidates": candidates,
            "negative_prompt": negative_prompt, "sampler": sampler, "time_shift": time_shift,
            "peak": peak, "loudness": loudness, "level": level, "neighbours": neighbours,
            "neighbour_scale": neighbour_scale, "neighbour_strength": neighbour_strength,
            "neighbour_blend": neighbour_blend, "edit": edit, "mix": mix, "without": without, "rank_by": rank_by,
        }  # fmt: skip
        own = {**DEFAULTS.settings(), **self.kind.defaults()}
        for key in ("seconds", "num_steps", "guidance_scale"):
            wanted[key] = own[key] if wanted[key] is None else wanted[key]
        settings = {key: checked_setting(key, value, key) for key, value in wanted.items()}
        check_level(settings)
        check_settings(self.kind, self.name, settings)
        first = checked_seeds(seeds, seed, len(texts))
        if not texts:
            return []
        return self._generate(texts, first, settings, callback)

    def _generate(
        self, texts: list[str], first: list[int], settings: Mapping[str, Any], callback: Callback | None
    ) -> list[Generation]:
        count, total = settings["candidates"], len(texts) * settings["candidates"]
        loud = Level(settings["peak"], settings["loudness"], settings["level"] == "as-is")
        size = 1 if self.device.type == "cpu" else LARGEST_BATCH
        ranker = self._ranker(settings["rank_by"])
        seeds: list[int] = []
        sounds: list[tuple[Waveform, float]] = []
        for text, seed in zip(texts, first, strict=True):
            own = [(seed + number) % SEEDS for number in range(count)]
            with inference(*self.networks):
                condition = self.encode(text, settings["negative_prompt"] or "")
                for start in range(0, count, size):
                    numbered = _numbered(callback, len(seeds) + start, total)
                    made = self.sample(condition, own[start : start + size], settings, numbered)
                    sounds += [master(waveform, self.sample_rate, loud) for waveform in made]
            seeds += own
        waveforms, gains = zip(*sounds, strict=True)
        found = best_of(texts, seeds, waveforms, self.sample_rate, ranker, gains)
        warnings = self.prompt_warnings([*texts, *filter(None, [settings["negative_prompt"]])])
        for sound in found:
            for text in filter(None, (sound.prompt, settings["negative_prompt"])):
                sound.warnings += warnings.get(text, [])
        return found

    def _ranker(self, name: str | None) -> Scores:
        key = name or ""
        if key not in self._rankers:
            own = self.own_ranker() if name is None else None
            self._rankers[key] = own or ClapRanker.by_name(name or DEFAULT_RANKER, self.device)
        return self._rankers[key]


def _numbered(callback: Callback | None, item: int, num_items: int) -> Callback | None:
    return callback and (lambda progress: callback({**progress, "item": item, "num_items": num_items}))
