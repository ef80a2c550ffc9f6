"""MusicGen (Copet et al. 2023) in the layout of transformers, and what it shares with audiocraft's layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clapgen.errors import ClapgenError
from generation.generator import Callback
from generation.public.base import PublicGenerator, Waveform
from generation.public.parts import load_other, load_part, place
from generation.public.texts import limit_of, tokens_of
from generation.public.tokens import draw_tokens


class TokenGenerator(PublicGenerator):
    """A T5 encoder, a language model over the tokens of a codec, and the codec's decoder.

    Attributes:
        delays: by how many frames each codebook comes later.
        channels: 2 if the codebooks of two channels alternate, which are mixed.
        longest: seconds that the model was trained on.
    """

    t5: nn.Module
    tokenizer: Any
    projection: nn.Module  # from T5's width to the language model's
    language_model: Any  # MusicgenForCausalLM
    codec: Any  # EncodecModel
    delays: list[int]
    channels: int = 1
    longest: float = 30.0

    def encode(self, prompt: str, negative_prompt: str) -> tuple[Tensor, Tensor]:
        """What the language model attends to (1, tokens, width) for both texts; zeros without a negative prompt."""
        prompted = self._states(prompt)
        return prompted, self._states(negative_prompt) if negative_prompt else torch.zeros_like(prompted)

    def _states(self, text: str) -> Tensor:
        states = self.t5(**tokens_of(self.tokenizer, text, self.device)).last_hidden_state
        return self.projection(states).to(self.dtype)

    def sample(
        self, condition: tuple[Tensor, Tensor], seeds: Sequence[int], settings: Mapping[str, Any],
        callback: Callback | None,
    ) -> list[Waveform]:  # fmt: skip
        """Waveforms (samples,); see `PublicGenerator.sample`."""
        seconds = settings["seconds"]
        if seconds > self.longest:
            raise ClapgenError(f"{self.name} makes sounds of up to {self.longest:.4g} s; choose fewer --seconds.")
        hop = int(np.prod(self.codec.config.upsampling_ratios))
        frames = -(-round(seconds * self.sample_rate) // hop)
        tokens = draw_tokens(
            self.language_model, *condition, frames, self.delays, settings["guidance_scale"], seeds, callback=callback
        )
        return list(self.decode(tokens)[:, : round(seconds * self.sample_rate)].cpu().numpy())

    def decode(self, tokens: Tensor) -> Tensor:
        """Waveforms (batch, samples) of tokens (batch, codebooks, frames), the mean of their channels."""
        decoded = [
            self.codec.decode(tokens[None, :, channel :: self.channels], [None])[0] for channel in range(self.channels)
        ]
        return torch.cat(decoded, dim=1).float().mean(1)

    def count_tokens(self, text: str) -> tuple[int, int]:
        """How many tokens a text has, and how many the model reads."""
        return len(self.tokenizer(text)["input_ids"]), limit_of(self.tokenizer)


class MusicGen(TokenGenerator):
    """`facebook/musicgen-small`, `-medium`, `-large`, and their stereo variants."""

    def _load(self, folder: Path) -> None:
        from transformers import AutoTokenizer, MusicgenForConditionalGeneration

        whole = load_part(MusicgenForConditionalGeneration, folder).to(self.device)
        self.tokenizer = load_other(AutoTokenizer, folder)
        self.t5, self.codec = whole.text_encoder, whole.audio_encoder
        self.projection = getattr(whole, "enc_to_dec_proj", nn.Identity())
        self.language_model = place(whole.decoder, self.device, self.dtype)
        self.sample_rate, self.channels = self.codec.config.sampling_rate, whole.decoder.config.audio_channels
        self.delays = [book // self.channels for book in range(whole.decoder.config.num_codebooks)]
        self.networks = [self.t5, self.projection, self.language_model, self.codec]
