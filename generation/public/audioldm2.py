"""AudioLDM 2 (Liu et al. 2024): a GPT-2 turns the CLAP and T5 embeddings of a prompt into what the U-Net attends to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from clapgen.errors import ClapgenError
from generation.public.catalogue import PIPELINE_FILE, read_json
from generation.public.mel_diffusion import MelDiffusion
from generation.public.own_clap import OwnClap
from generation.public.parts import load_other, load_part
from generation.public.texts import limit_of, tokens_of
from generation.ranking import Scores

NEW_VECTORS = 8  # that GPT-2 generates, unless its configuration says otherwise


@dataclass
class Attended:
    """What the U-Net attends to for one text: `generated` (1, vectors, width) by GPT-2, and `states` (1, tokens, width)
    of T5 with their `mask` (1, tokens)."""

    generated: Tensor
    states: Tensor
    mask: Tensor


class AudioLdm2(MelDiffusion):
    """`cvssp/audioldm2*`. Its CLAP ranks candidates. The variants for speech are not supported."""

    unet_class = "AudioLDM2UNet2DConditionModel"

    def _load_text(self, folder: Path) -> None:
        from diffusers import AudioLDM2ProjectionModel
        from transformers import AutoTokenizer, GPT2Model, T5EncoderModel

        second = read_json(folder / PIPELINE_FILE).get("text_encoder_2")
        if second is not None and "T5EncoderModel" not in second:
            raise ClapgenError(
                f"{self.name} makes speech from a transcript, which clapgen does not; choose cvssp/audioldm2."
            )
        self.clap = OwnClap(folder, self.device)
        self.t5 = load_part(T5EncoderModel, folder / "text_encoder_2").to(self.device)
        self.t5_tokenizer = load_other(AutoTokenizer, folder / "tokenizer_2")
        self.projection = load_part(AudioLDM2ProjectionModel, folder / "projection_model").to(self.device)
        # Published as GPT2Model or as GPT2LMHeadModel, which the pipeline of diffusers needs; we need neither's head.
        self.gpt2 = load_part(GPT2Model, folder / "language_model").to(self.device)
        self.new_vectors = int(
            read_json(folder / "language_model" / "config.json").get("max_new_tokens") or NEW_VECTORS
        )
        self.networks = [self.clap.network, self.t5, self.projection, self.gpt2]

    def encode(self, prompt: str, negative_prompt: str) -> tuple[Attended, Attended]:
        """What the U-Net attends to for both texts, the second padded (or cut) to as many tokens as the first."""
        prompted = self._attended(prompt)
        tokens = prompted.mask.shape[1]
        return prompted, self._attended(negative_prompt, padding="max_length", max_length=tokens)

    def _attended(self, text: str, **padding: object) -> Attended:
        tokens = tokens_of(self.t5_tokenizer, text, self.device, **padding)
        mask = tokens["attention_mask"]
        states = self.t5(**tokens).last_hidden_state
        joined = self.projection(
            hidden_states=self.clap.embed_text(text)[:, None], hidden_states_1=states,
            attention_mask=mask.new_ones(1, 1), attention_mask_1=mask,
        )  # fmt: skip
        return Attended(self._generated(joined.hidden_states, joined.attention_mask), states, mask)

    def _generated(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """The vectors (1, new_vectors, width) that GPT-2 appends, each its last state for all before it."""
        for _ in range(self.new_vectors):
            new = self.gpt2(inputs_embeds=vectors, attention_mask=mask).last_hidden_state[:, -1:]
            vectors = torch.cat([vectors, new], dim=1)
            mask = torch.cat([mask, mask.new_ones(1, 1)], dim=1)
        return vectors[:, -self.new_vectors :]

    def predict(self, latents: Tensor, time: Tensor, condition: tuple[Attended, Attended], guided: bool) -> Tensor:
        """The noise in latents (rows, channels, frames, mels)."""
        prompted, negative = condition
        count = len(latents) // 2 if guided else len(latents)
        halves = [negative, prompted] if guided else [prompted]
        generated, states, mask = (
            torch.cat([getattr(half, name).expand(count, *[-1] * (getattr(half, name).dim() - 1)) for half in halves])
            for name in ("generated", "states", "mask")
        )
        return self.unet(
            latents.to(self.dtype), time, encoder_hidden_states=generated.to(self.dtype),
            encoder_hidden_states_1=states.to(self.dtype), encoder_attention_mask_1=mask, return_dict=False,
        )[0].float()  # fmt: skip

    def own_ranker(self) -> Scores:
        """The CLAP of the checkpoint."""
        return self.clap

    def count_tokens(self, text: str) -> tuple[int, int]:
        """How many tokens of T5 a text has, and how many the model reads."""
        return len(self.t5_tokenizer(text)["input_ids"]), limit_of(self.t5_tokenizer)
