"""Stable Audio Open (Evans et al. 2024): a diffusion transformer over latents of a waveform autoencoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clapgen.errors import ClapgenError
from generation.generator import Callback
from generation.public.base import PublicGenerator, Waveform
from generation.public.catalogue import read_json
from generation.public.cosine_solver import CosineSolver
from generation.public.denoising import denoise, noise_of
from generation.public.mel_diffusion import load_scheduler
from generation.public.parts import load_other, load_part, place
from generation.public.texts import limit_of, tokens_of

COSINE = "CosineDPMSolverMultistepScheduler"


@dataclass
class TextCondition:
    """Projected states (1, tokens, width) of the prompt, and of a negative prompt if there is one."""

    prompt: Tensor
    negative: Tensor | None


class StableAudio(PublicGenerator):
    """`stabilityai/stable-audio-open-1.0`: 44.1 kHz, of which the two channels are mixed.

    It always makes latents of its full length, of which the condition says how many seconds to fill; what is longer is
    cut off. A short sound therefore takes as long as a long one.
    """

    def _load(self, folder: Path) -> None:
        from diffusers import AutoencoderOobleck, StableAudioDiTModel, StableAudioProjectionModel
        from transformers import AutoTokenizer, T5EncoderModel

        self.tokenizer = load_other(AutoTokenizer, folder / "tokenizer")
        self.t5 = load_part(T5EncoderModel, folder / "text_encoder").to(self.device)
        self.projection = load_part(StableAudioProjectionModel, folder / "projection_model").to(self.device)
        self.transformer = place(load_part(StableAudioDiTModel, folder / "transformer"), self.device, self.dtype)
        self.vae = load_part(AutoencoderOobleck, folder / "vae").to(self.device)
        config = read_json(folder / "scheduler" / "scheduler_config.json")
        self.scheduler = CosineSolver(config) if config.get("_class_name") == COSINE else load_scheduler(folder)
        self.sample_rate = self.vae.config.sampling_rate
        self.networks = [self.t5, self.projection, self.transformer, self.vae]

    @property
    def longest(self) -> float:
        """The longest sound in seconds."""
        return self.transformer.config.sample_size * self.vae.hop_length / self.sample_rate

    def encode(self, prompt: str, negative_prompt: str) -> TextCondition:
        """The states of both texts. Without a negative prompt, guidance is away from zeros."""
        return TextCondition(self._states(prompt), self._states(negative_prompt) if negative_prompt else None)

    def _states(self, text: str) -> Tensor:
        tokens = tokens_of(self.tokenizer, text, self.device, padding="max_length")
        projected = self.projection(text_hidden_states=self.t5(**tokens).last_hidden_state).text_hidden_states
        return projected * tokens["attention_mask"][..., None]  # padding is zeroed, and attended to

    def sample(
        self, condition: TextCondition, seeds: Sequence[int], settings: Mapping[str, Any], callback: Callback | None
    ) -> list[Waveform]:
        """Waveforms (samples,); see `PublicGenerator.sample`."""
        seconds = settings["seconds"]
        if seconds > self.longest:
            raise ClapgenError(f"{self.name} makes sounds of up to {self.longest:.4g} s; choose fewer --seconds.")
        attended, overall = self._with_seconds(condition, seconds)
        rows = len(seeds)

        def predict(latents: Tensor, time: Tensor, guided: bool) -> Tensor:
            halves = slice(None) if guided else slice(1, None)
            return self.transformer(
                latents.to(self.dtype),
                time[None],
                encoder_hidden_states=_repeated(attended[halves], rows).to(self.dtype),
                global_hidden_states=_repeated(overall[halves], rows).to(self.dtype),
                rotary_embedding=self._positions(latents.shape[2] + overall.shape[1]),
                return_dict=False,
            )[0].float()

        latents = denoise(
            self.scheduler, predict, self.initial_latents(seeds), settings["num_steps"], settings["guidance_scale"],
            seeds, callback,
        )  # fmt: skip
        decoded = self.vae.decode(latents).sample.float().cpu()  # (batch, channels, samples)
        return [stereo.mean(0).numpy() for stereo in decoded[:, :, : int(seconds * self.sample_rate)]]

    def initial_latents(self, seeds: Sequence[int]) -> Tensor:
        """Noise (seeds, channels, frames) of the full length."""
        shape = (self.transformer.config.in_channels, int(self.transformer.config.sample_size))
        return noise_of(shape, seeds).to(self.device)

    def _with_seconds(self, condition: TextCondition, seconds: float) -> tuple[Tensor, Tensor]:
        """What is attended to (2, tokens + 2, width), and what conditions every block (2, 1, 2 width): the negative
        condition first."""
        times = torch.tensor([[0.0], [seconds]], device=self.device)
        embedded = self.projection(start_seconds=times[0], end_seconds=times[1])
        start, end = embedded.seconds_start_hidden_states, embedded.seconds_end_hidden_states
        prompted = torch.cat([condition.prompt, start, end], dim=1)
        negative = torch.zeros_like(prompted)
        if condition.negative is not None:
            negative = torch.cat([condition.negative, start, end], dim=1)
        return torch.cat([negative, prompted]), torch.cat([start, end], dim=2).expand(2, -1, -1)

    def _positions(self, length: int) -> Any:
        from diffusers.models.embeddings import get_1d_rotary_pos_embed

        width = self.transformer.config.attention_head_dim // 2
        cosine, sine = get_1d_rotary_pos_embed(width, length, use_real=True, repeat_interleave_real=False)
        return cosine.to(self.device), sine.to(self.device)

    def count_tokens(self, text: str) -> tuple[int, int]:
        """How many tokens a text has, and how many the model reads."""
        return len(self.tokenizer(text)["input_ids"]), limit_of(self.tokenizer)


def _repeated(halves: Tensor, rows: int) -> Tensor:
    return halves.repeat_interleave(rows, dim=0)
