"""`TextToAudio`: from prompts to waveforms, with guidance, seeds per item and candidates ranked per prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clapgen.audio import peak_normalise
from clapgen.clap import Clap
from clapgen.errors import ClapgenError
from clapgen.model_store import Model, ModelFolder, load_module, open_model, part_hashes
from generation.autoencoder.model import Autoencoder
from generation.diffusion.config import DiffusionConfig
from generation.diffusion.guidance import GuidedVelocity
from generation.diffusion.model import DiffusionTransformer
from generation.diffusion.samplers import SAMPLERS, timesteps
from generation.generator import Callback, Generation
from generation.requests import DEFAULTS, DTYPES, checked_setting
from generation.sidecars import PARTS, model_identity

PEAK_DBFS = -1.0  # before scoring, so that the score is that of the sound as it is written
LARGEST_BATCH = 16  # items that share a batch on an accelerator


class TextToAudio:
    """Latent diffusion conditioned on CLAP embeddings, after AudioLDM (Liu et al. 2023).

    `generate` runs the steps in this order: `encode_prompts`, `initial_latents`, `solve`, `decode`, `rank`.

    On a CPU every item runs through the network by itself, so that its samples are the same, bit for bit, in any
    batch; on an accelerator items share batches and agree within rounding.
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
        cls, name_or_path: Model = "default", device: str | torch.device = "cpu", dtype: str | None = None
    ) -> TextToAudio:
        """Load the three parts of a model. `dtype` is "bfloat16" (default) or "float32", for the diffusion network.

        Raises:
            ClapgenError: an unknown model, a missing or damaged part, parts that were not trained for each other.
        """
        if dtype is not None and dtype not in DTYPES:
            raise ClapgenError(f'unknown dtype "{dtype}"; choose {" or ".join(DTYPES)}')
        folder = open_model(name_or_path)
        network = load_module(folder, "diffusion", DiffusionConfig, DiffusionTransformer)
        hashes = part_hashes(folder, PARTS)
        _check_parts(folder, network.config, hashes)
        return cls(
            network.to(device),
            Autoencoder.from_pretrained(folder, device=device),
            Clap.from_pretrained(folder, device=device),
            folder.name,
            hashes,
            getattr(torch, dtype or DTYPES[0]),
        )

    @property
    def device(self) -> torch.device:
        """Where the diffusion network is."""
        return self.network.null_condition.device

    def describe(self) -> dict[str, Any]:
        """The model's name, the hash of each part's weights and the number format, as sidecars record them."""
        return model_identity(self.name, self.hashes, str(self.dtype).removeprefix("torch."))

    def cut_prompts(self, prompts: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Prompts longer than the text tower reads: the number of their tokens, and how many of them it reads."""
        limit = self.clap.text_tower.max_tokens
        tokens = {prompt: len(self.clap.tokenizer.encode(prompt).ids) for prompt in prompts}
        return {prompt: (count, limit) for prompt, count in tokens.items() if count > limit}

    @torch.no_grad()
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
    ) -> list[Generation]:
        """Generate one sound per prompt. The ranges are those of `generation.requests.RANGES`.

        Args:
            prompts: descriptions of the sounds.
            seconds: length, 0.5 to 30.
            num_steps: solver steps, 1 to 200.
            guidance_scale: 0 to 20; 1 is no guidance, more follows the prompt more closely (Ho & Salimans 2022).
            negative_prompt: what to avoid; replaces the empty condition in guidance.
            seed: of the first candidate; candidate c uses `seed + c`. The same for every prompt unless `seeds` gives
                one each.
            candidates: how many to generate per prompt, 1 to 64; the one with the best CLAP score *for that prompt* is
                returned.
            callback: called after every step with a dict: i, num_steps, t, x, denoised, and item, num_items.
            sampler: name of the solver, one of `SAMPLERS`.
            time_shift: 0.1 to 10; above 1 more of the steps are near the noise (Esser et al. 2024).

        Raises:
            ClapgenError: an empty prompt or a value out of its range.
        """
        seeds = [checked_setting("seed", each, "seed") for each in ([seed] * len(prompts) if seeds is None else seeds)]
        _check(
            prompts, seeds, seconds=seconds, num_steps=num_steps, guidance_scale=guidance_scale, candidates=candidates,
            sampler=sampler, time_shift=time_shift,
        )  # fmt: skip
        condition, negative = self.encode_prompts(prompts, negative_prompt)
        items = [(row, seeds[row] + candidate) for row in range(len(prompts)) for candidate in range(candidates)]
        times = timesteps(num_steps, time_shift)
        waveforms: list[NDArray[np.float32]] = []
        size = 1 if self.device.type == "cpu" else LARGEST_BATCH
        for start in range(0, len(items), size):
            rows, item_seeds = zip(*items[start : start + size], strict=True)
            latents = self.initial_latents(item_seeds, seconds)
            latents = self.solve(
                latents, times, condition[list(rows)], negative, seconds, guidance_scale, sampler,
                callback=_numbered(callback, start, len(items)),
            )  # fmt: skip
            waveforms.extend(self.decode(latents, seconds))
        return self.rank(prompts, condition, [item_seed for _, item_seed in items], waveforms)

    def encode_prompts(self, prompts: Sequence[str], negative_prompt: str | None = None) -> tuple[Tensor, Tensor]:
        """Embeddings of prompts (prompts, condition_dim), and (condition_dim,) to guide away from."""
        texts = [*prompts, *([negative_prompt] if negative_prompt else [])]
        # One by one: the padding of a batch would change the last bits of a text's embedding, and thus its sound.
        embedded = torch.cat([self.clap.embed_text([text]) for text in texts]).to(self.device)
        return embedded[: len(prompts)], embedded[-1] if negative_prompt else self.network.null_condition

    def initial_latents(self, seeds: Sequence[int], seconds: float) -> Tensor:
        """Noise (seeds, latent_dim, frames), drawn on the CPU so that a seed is the same sound on every device."""
        shape = (self.autoencoder.latent_dim, self.autoencoder.frames_for(seconds))
        noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(noise).to(self.device)

    @torch.no_grad()
    def solve(
        self,
        latents: Tensor,
        times: Sequence[float],
        condition: Tensor,
        negative: Tensor,
        seconds: float,
        guidance_scale: float = DEFAULTS.guidance_scale,
        sampler: str = DEFAULTS.sampler,
        mask: Tensor | None = None,
        known: Tensor | None = None,
        callback: Callback | None = None,
    ) -> Tensor:
        """Follow the guided velocity from `times[0]` to `times[-1]`.

        Args:
            latents: (batch, latent_dim, frames) at `times[0]`; pure noise if that is 1.
            condition: (batch, condition_dim); negative: (condition_dim,); see `encode_prompts`.
            seconds: length of the sounds.
            mask: (frames,) or a shape that broadcasts to the latents', true where to generate. The rest follows the
                clean latents `known` (batch, latent_dim, frames), noised to the current time, and ends as them: the
                conditional generation of inpainting and continuation.

        Returns: latents (batch, latent_dim, frames) at `times[-1]`; clean if that is 0.
        """
        window = min(seconds, self.network.config.window_seconds)
        velocity = GuidedVelocity(
            self.network, condition, negative, guidance_scale, window, self.autoencoder.frames_for(window), self.dtype
        )
        if (mask is None) != (known is None):
            raise ValueError("solve needs both `mask` and `known`, or neither")
        if mask is None or known is None:
            return SAMPLERS.get(sampler)(velocity, latents, times, callback)
        straight = (latents - known) / times[0]  # every solver follows a constant velocity exactly

        def inside_mask(x: Tensor, time: float) -> Tensor:
            return torch.where(mask, velocity(x, time), straight)

        return SAMPLERS.get(sampler)(inside_mask, latents, times, callback)

    @torch.no_grad()
    def decode(self, latents: Tensor, seconds: float) -> list[NDArray[np.float32]]:
        """Waveforms (samples,) of latents (batch, latent_dim, frames), cut to `seconds`, their peaks at -1 dBFS."""
        decoded = self.autoencoder.decode(latents.float())[:, : round(seconds * self.sample_rate)]
        return [peak_normalise(waveform, PEAK_DBFS) for waveform in decoded.float().cpu().numpy()]

    def rank(
        self, prompts: Sequence[str], condition: Tensor, seeds: Sequence[int], waveforms: Sequence[NDArray[np.float32]]
    ) -> list[Generation]:
        """The candidate with the best CLAP score for each prompt.

        Args:
            condition: embeddings (prompts, condition_dim); see `encode_prompts`.
            seeds, waveforms: one per candidate, those of the first prompt first, as many for each prompt.
        """
        candidates = len(waveforms) // max(1, len(prompts))
        results = []
        for row, prompt in enumerate(prompts):
            first = row * candidates
            own = waveforms[first : first + candidates]
            audio = torch.cat([self.clap.embed_audio([waveform], self.sample_rate) for waveform in own])
            scores = self.clap.similarity(audio, condition[row : row + 1].cpu())[:, 0].tolist()
            best = max(range(candidates), key=scores.__getitem__)
            results.append(Generation(own[best], self.sample_rate, prompt, seeds[first + best], scores[best], scores))
        return results


def _check_parts(folder: ModelFolder, config: DiffusionConfig, hashes: dict[str, str]) -> None:
    """Refuse a diffusion model that was trained with another CLAP or autoencoder."""
    for part, trained_with in (("clap", config.clap_hash), ("autoencoder", config.autoencoder_hash)):
        if trained_with and trained_with != hashes[part]:
            raise ClapgenError(
                f"{folder.path}: the diffusion model was trained with {part} {trained_with}, but the folder holds "
                f"{part} {hashes[part]}; install the model again or train it with this {part}"
            )


def _numbered(callback: Callback | None, item: int, num_items: int) -> Callback | None:
    return callback and (lambda progress: callback({**progress, "item": item, "num_items": num_items}))


def _check(prompts: Sequence[str], seeds: Sequence[int], **settings: Any) -> None:
    if isinstance(prompts, str):
        raise TypeError("generate takes a list of prompts")
    if any(not prompt.strip() for prompt in prompts):
        raise ClapgenError("a prompt is empty; describe a sound")
    if len(seeds) != len(prompts):
        raise ClapgenError(f"{len(seeds)} seeds were given for {len(prompts)} prompts; give one each")
    for key, value in settings.items():
        checked_setting(key, value, key)
