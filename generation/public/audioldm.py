"""AudioLDM (Liu et al. 2023): a U-Net conditioned on the text embedding of the CLAP inside the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from generation.public.mel_diffusion import MelDiffusion
from generation.public.parts import load_other, load_part
from generation.public.texts import limit_of, tokens_of


@dataclass
class FilmCondition:
    """Embeddings (1, dim) of the prompt and of what to guide away from."""

    prompt: Tensor
    negative: Tensor

    def rows(self, count: int, guided: bool) -> Tensor:
        """One row for each of `count` rows of latents; when guided, those to guide away from first."""
        if not guided:
            return self.prompt.expand(count, -1)
        half = count // 2
        return torch.cat([self.negative.expand(half, -1), self.prompt.expand(half, -1)])


class AudioLdm(MelDiffusion):
    """`cvssp/audioldm-*`. They have the text side of their CLAP only, so that clapgen's ranks candidates."""

    def _load_text(self, folder: Path) -> None:
        from transformers import AutoTokenizer, ClapTextModelWithProjection

        self.text_encoder = load_part(ClapTextModelWithProjection, folder / "text_encoder").to(self.device)
        self.tokenizer = load_other(AutoTokenizer, folder / "tokenizer")
        self.networks = [self.text_encoder]

    def encode(self, prompt: str, negative_prompt: str) -> FilmCondition:
        """The embeddings of both texts, of length 1 each: transformers does not normalise them."""
        prompted, negative = (self.embed_text(text) for text in (prompt, negative_prompt))
        return FilmCondition(prompted, negative)

    def embed_text(self, text: str) -> Tensor:
        """(1, dim), of length 1."""
        embedded = self.text_encoder(**tokens_of(self.tokenizer, text, self.device)).text_embeds
        return F.normalize(embedded, dim=-1)

    def predict(self, latents: Tensor, time: Tensor, condition: FilmCondition, guided: bool) -> Tensor:
        """The noise in latents (rows, channels, frames, mels). The embedding goes where a class label would."""
        labels = condition.rows(len(latents), guided).to(self.dtype)
        return self.unet(latents.to(self.dtype), time, encoder_hidden_states=None, class_labels=labels).sample.float()

    def count_tokens(self, text: str) -> tuple[int, int]:
        """How many tokens a text has, and how many the model reads."""
        return len(self.tokenizer(text)["input_ids"]), limit_of(self.tokenizer)
