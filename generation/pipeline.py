"""`TextToAudio`: from prompts to waveforms, with guidance, seeds per item and candidates ranked per prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clapgen.audio import peak_normalise
from clapgen.clap import Clap
from clapgen.errors import ClapgenError
from clapgen.model_store import load_module, part_hashes, resolve_model
from generation.autoencoder.model import Autoencoder
from generation.diffusion.config import DiffusionConfig
from generation.diffusion.guidance import guided_velocity
from generation.diffusion.model import DiffusionTransformer
from generation.diffusion.samplers import get_sampler, timesteps
from generation.diffusion.training.latents import frames_of

SHORTEST_SECONDS, LONGEST_SECONDS = 0.5, 30.0
PEAK_DBFS = -1.0  # before scoring, so that a score is that of the sound as it is written
PARTS = ("clap", "autoencoder", "diffusion")
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


@dataclass
class Generation:
    """One sound: `waveform` (samples,) float32, its peak at -1 dBFS, and what it was made from.

    `score` is the CLAP cosine of the waveform and its prompt; `candidate_scores` holds those of all candidates, in the
    order of their seeds (`seed`, `seed` + 1, …), of which `seed` names the one returned.
    """

    waveform: NDArray[np.float32]
    sample_rate: int
    prompt: str
    seed: int
    score: float
    candidate_scores: list[float] = field(default_factory=list)


class TextToAudio:
    """Latent diffusion steered by CLAP, after AudioLDM (Liu et al. 2023).

    On a CPU every item runs through the network by itself, so that its samples are the same, bit for bit, whatever
    else is asked for; on an accelerator items share batches and agree within rounding.
    """

    def __init__(
        self,
        network: DiffusionTransformer,
        autoencoder: Autoencoder,
        clap: Clap,
        name: str = "unsaved",
        hashes: dict[str, str] | None = None,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        self.network, self.autoencoder, self.clap = network, autoencoder, clap
        self.name, self.hashes, self.dtype = name, hashes or {}, dtype
        self.sample_rate = autoencoder.sample_rate

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path = "default", device: str | torch.device = "cpu", dtype: str | None = None
    ) -> TextToAudio:
        """Load the three parts of a model. `dtype` is "bfloat16" (default) or "float32", for the diffusion network.

        Raises:
            ClapgenError: an unknown model, a missing or damaged part, parts that were not trained for each other.
        """
        if dtype is not None and dtype not in DTYPES:
            raise ClapgenError(f'unknown dtype "{dtype}"; choose {" or ".join(DTYPES)}')
        folder = resolve_model(name_or_path)
        network = load_module(folder, "diffusion", DiffusionConfig, DiffusionTransformer)
        config = network.config
        hashes = part_hashes(folder, PARTS)
        for part, wanted in (("clap", config.clap_hash), ("autoencoder", config.autoencoder_hash)):
            if wanted and wanted != hashes[part]:
                raise ClapgenError(
                    f"{folder}: the diffusion model was trained with {part} {wanted}, but the folder holds {part} "
                    f"{hashes[part]}; install the model again or train it with this {part}"
                )
        return cls(
            network.to(device),
            Autoencoder.from_pretrained(folder, device=device),
            Clap.from_pretrained(folder, device=device),
            str(name_or_path),
            hashes,
            DTYPES[dtype or "bfloat16"],
        )

    @property
    def device(self) -> torch.device:
        """Where the diffusion network is."""
        return self.network.null_condition.device

    def describe(self) -> dict[str, Any]:
        """The model's name, the hash of each part's weights and the number format, as the sidecar records them."""
        return {"model": self.name, "hashes": self.hashes, "dtype": str(self.dtype).removeprefix("torch.")}

    @torch.no_grad()
    def generate(
        self,
        prompts: Sequence[str],
        seconds: float = 10.0,
        num_steps: int = 25,
        guidance_scale: float = 3.0,
        negative_prompt: str | None = None,
        seed: int = 0,
        candidates: int = 1,
        callback: Callable[[dict[str, Any]], None] | None = None,
        seeds: Sequence[int] | None = None,
        sampler: str = "multistep",
        time_shift: float = 1.0,
    ) -> list[Generation]:
        """A sound for every prompt.

        Args:
            prompts: what is to be heard.
            seconds: length, 0.5 to 30.
            num_steps: solver steps, at least 1.
            guidance_scale: 1 follows the model alone, more follows the prompt harder (Ho & Salimans 2022).
            negative_prompt: what is not to be heard; takes the place of the empty condition in guidance.
            seed: of the first candidate; candidate c uses `seed + c`. The same for every prompt unless `seeds` gives
                one each.
            candidates: how many to make per prompt; the one with the best CLAP score *for that prompt* is returned.
            callback: called after every step with a dict: i, num_steps, t, x, denoised, and item, num_items.

        Raises:
            ClapgenError: an empty prompt or a value out of its range.
        """
        _check(prompts, seconds, num_steps, guidance_scale, candidates, seeds)
        solve = get_sampler(sampler)
        texts = [*prompts, *([negative_prompt] if negative_prompt else [])]
        # One by one: the padding of a batch would change the last bits of a text's embedding, and so its sound.
        embedded = torch.cat([self.clap.embed_text([text]) for text in texts]).to(self.device)
        negative = embedded[-1] if negative_prompt else self.network.null_condition
        first_seeds = list(seeds) if seeds is not None else [seed] * len(prompts)
        items = [(row, first_seeds[row] + c) for row in range(len(prompts)) for c in range(candidates)]
        times = timesteps(num_steps, time_shift)
        frame_rate = self.sample_rate / self.autoencoder.hop_length
        frames = frames_of(seconds, frame_rate)
        samples = round(seconds * self.sample_rate)
        waveforms: list[NDArray[np.float32]] = []
        for group in self._groups(items):
            rows = [row for row, _ in group]
            noise = torch.stack([self._noise(item_seed, frames) for _, item_seed in group]).to(self.device)
            velocity = guided_velocity(
                self.network, embedded[rows], negative, seconds, frame_rate, guidance_scale, self.dtype
            )
            latents = solve(velocity, noise, times, _numbered(callback, len(waveforms), len(items)))
            decoded = self.autoencoder.decode(latents.float())[:, :samples]
            waveforms.extend(peak_normalise(waveform, PEAK_DBFS) for waveform in decoded.float().cpu().numpy())
        return self._best(prompts, embedded, items, waveforms, candidates)

    def _groups(self, items: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
        size = 1 if self.device.type == "cpu" else 16
        return (items[start : start + size] for start in range(0, len(items), size))

    def _noise(self, seed: int, frames: int) -> Tensor:
        """Drawn on the CPU, so that a seed is the same sound on every device."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(self.autoencoder.latent_dim, frames, generator=generator)

    def _best(
        self,
        prompts: Sequence[str],
        embedded: Tensor,
        items: list[tuple[int, int]],
        waveforms: list[NDArray[np.float32]],
        candidates: int,
    ) -> list[Generation]:
        results = []
        for row, prompt in enumerate(prompts):
            own = slice(row * candidates, (row + 1) * candidates)
            audio = torch.cat([self.clap.embed_audio([waveform], self.sample_rate) for waveform in waveforms[own]])
            scores = self.clap.similarity(audio, embedded[row : row + 1].cpu())[:, 0].tolist()
            best = max(range(candidates), key=scores.__getitem__)
            results.append(
                Generation(waveforms[own][best], self.sample_rate, prompt, items[own][best][1], scores[best], scores)
            )
        return results


def _numbered(
    callback: Callable[[dict[str, Any]], None] | None, item: int, num_items: int
) -> Callable[[dict[str, Any]], None] | None:
    return callback and (lambda progress: callback({**progress, "item": item, "num_items": num_items}))


def _check(
    prompts: Sequence[str],
    seconds: float,
    num_steps: int,
    guidance_scale: float,
    candidates: int,
    seeds: Sequence[int] | None,
) -> None:
    if isinstance(prompts, str):
        raise TypeError("generate takes a list of prompts")
    if any(not prompt.strip() for prompt in prompts):
        raise ClapgenError("a prompt is empty; say what is to be heard")
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise ClapgenError(f"seconds must be {SHORTEST_SECONDS:g} to {LONGEST_SECONDS:g}, not {seconds:g}")
    if num_steps < 1:
        raise ClapgenError(f"steps must be at least 1, not {num_steps}")
    if not 0 <= guidance_scale < float("inf"):
        raise ClapgenError(f"guidance must be 0 or more, not {guidance_scale:g}")
    if candidates < 1:
        raise ClapgenError(f"candidates must be at least 1, not {candidates}")
    if seeds is not None and len(seeds) != len(prompts):
        raise ClapgenError(f"{len(seeds)} seeds were given for {len(prompts)} prompts; give one each")
