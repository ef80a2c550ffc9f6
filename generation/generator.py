"""What every generator of sound offers, whether ours or a public model: `Generator`, and its result, `Generation`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from generation.edits import Edit
from generation.ingredients import Ingredient
from generation.requests import DEFAULTS
from generation.retrieval import Neighbour

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

Callback = Callable[[dict[str, Any]], None]


@dataclass
class Generation:
    """One generated sound: `waveform` (samples,) float32 at the requested level, and what it was generated from.

    `score` is the CLAP cosine of the waveform and its prompt; `candidate_scores` holds those of all candidates, in the
    order of their seeds (`seed`, `seed` + 1, …), of which `seed` names the one returned. `decoder_peak` (dBFS, -inf for
    silence) is how loud the decoder made the sound, and `gain` (dB) what brought it to its level. `warnings` are
    sentences on what may keep the sound from following its prompt. `novelty` is what a `NoveltyGuard` found.
    """

    waveform: NDArray[np.float32]
    sample_rate: int
    prompt: str
    seed: int
    score: float
    candidate_scores: list[float] = field(default_factory=list)
    decoder_peak: float = -math.inf
    gain: float = 0.0
    warnings: list[str] = field(default_factory=list)
    novelty: dict[str, Any] | None = None

    def save(self, path: str | os.PathLike[str], bits: int | None = None, overwrite: bool = False) -> None:
        """Write the sound in the format of the suffix, as `clapgen.write_audio` does, whose errors it raises."""
        from clapgen.audio import write_audio

        write_audio(path, self.waveform, self.sample_rate, bits, overwrite)


class Generator(Protocol):
    """What `generation.render` and the command line need. A generator ignores settings that it has no use for."""

    sample_rate: int

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    def describe(self) -> Mapping[str, Any]:
        """What decides its sounds apart from the request: `model` (its name and hashes) and `dtype`, for sidecars."""

    def prompt_warnings(self, prompts: Sequence[str]) -> dict[str, list[str]]:
        """What may keep it from following a prompt, one sentence each; prompts without any are left out."""

    def generate(
        self,
        prompts: Sequence[str],
        seconds: float = DEFAULTS.seconds,
        num_steps: int = DEFAULTS.num_steps,
        guidance_scale: float = DEFAULTS.guidance_scale,
        negative_prompt: str | None = None,
        seed: int = DEFAULTS.seed,
        candidates: int = DEFAULTS.candidates,
        callback: Callback | None = None,
        seeds: Sequence[int] | None = None,
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
    ) -> list[Generation]:
        """One sound per prompt; see `TextToAudio.generate`."""
