"""`CaptionDecoder`: a mapping network in front of a small causal language model."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioning.decoder.config import DecoderConfig, check_decoder
from captioning.decoder.mapper import MAPPERS
from captioning.decoder.sampling import NucleusNoise
from captioning.decoder.vocabulary import Vocabulary, left_padded, right_padded
from captioning.decoding import Decoding, check_decoding

if TYPE_CHECKING:
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

IGNORED = -100
EMBEDDING, OUTPUT = "language_model.transformer.wte.weight", "language_model.lm_head.weight"


class CaptionDecoder(nn.Module):
    """Embeddings to captions: retrieved words (if any), the mapped prefix, then the caption (as in ClipCap)."""

    def __init__(
        self, config: DecoderConfig, vocabulary: Vocabulary, language_model: GPT2LMHeadModel | None = None
    ) -> None:
        super().__init__()
        check_decoder(config)
        self.config, self.vocabulary = config, vocabulary
        self.mapper = MAPPERS.create(config.mapper, config)
        self.language_model: Any = language_model or _gpt2(config, vocabulary)

    def forward(
        self, embeddings: Tensor, captions: Sequence[str], retrieved_words: Sequence[str] | None = None
    ) -> Tensor:
        """Mean cross-entropy (a scalar) of the captions' tokens and end tokens, given embeddings (batch, dim)."""
        words = self.vocabulary
        rows = [[words.start, *ids, words.end] for ids in words.encode(captions, self.config.max_tokens)]
        tokens, token_mask = (each.to(embeddings.device) for each in right_padded(rows, words.pad))
        begin, begin_mask = self._context(embeddings, retrieved_words)
        inputs = torch.cat([begin, self._embed(tokens[:, :-1])], 1)
        mask = torch.cat([begin_mask, token_mask[:, :-1]], 1)
        states = self.language_model.transformer(
            inputs_embeds=inputs, attention_mask=mask, position_ids=_positions(mask), use_cache=False
        ).last_hidden_state[:, begin.shape[1] :]
        targets = tokens[:, 1:].masked_fill(token_mask[:, 1:] == 0, IGNORED)
        real = targets != IGNORED  # logits are large, so they are computed for real tokens only
        return F.cross_entropy(self.language_model.lm_head(states[real]).float(), targets[real])

    @torch.no_grad()
    def generate(
        self,
        embeddings: Tensor,
        retrieved_words: Sequence[str] | None = None,
        decoding: Decoding | None = None,
        candidates: int = 1,
    ) -> list[list[str]]:
        """Captions, `candidates` for each embedding (batch, dim), the most likely first (nucleus: as drawn).

        Raises:
            ClapgenError: a setting of `decoding` is out of range.
        """
        decoding = decoding or Decoding()
        settings = _settings(decoding, candidates, self.vocabulary, self.config)
        begin, mask = self._context(embeddings, retrieved_words)
        start = torch.full((len(embeddings), 1), self.vocabulary.start, device=embeddings.device)
        begin = torch.cat([begin, self._embed(start)], 1)
        mask = torch.cat([mask, torch.ones_like(start)], 1)
        if decoding.method == "nucleus":
            begin, mask = begin.repeat_interleave(candidates, 0), mask.repeat_interleave(candidates, 0)
        with warnings.catch_warnings():  # the n-gram rule need only hold within the caption
            warnings.filterwarnings("ignore", message=".*no_repeat_ngram_size")
            ids = self.language_model.generate(inputs_embeds=begin, attention_mask=mask, **settings)
        texts = [self.vocabulary.decode(row) for row in ids.tolist()]
        return [texts[start : start + candidates] for start in range(0, len(texts), candidates)]

    def _context(self, embeddings: Tensor, retrieved_words: Sequence[str] | None) -> tuple[Tensor, Tensor]:
        """The language model's input before the caption, (batch, length, width), and its mask (batch, length)."""
        prefix = self.mapper(embeddings)
        mask = torch.ones(prefix.shape[:2], dtype=torch.long, device=prefix.device)
        if retrieved_words is None:
            return prefix, mask
        words = self.vocabulary
        rows = words.encode(retrieved_words, self.config.retrieved_tokens)
        tokens, token_mask = (each.to(prefix.device) for each in left_padded(rows, words.pad))
        return torch.cat([self._embed(tokens), prefix], 1), torch.cat([token_mask, mask], 1)

    def _embed(self, tokens: Tensor) -> Tensor:
        return self.language_model.transformer.wte(tokens)

    def stored_state(self) -> dict[str, Tensor]:
        """The state dict without the output layer, which shares its weights with the token embedding."""
        return {key: value for key, value in self.state_dict().items() if key != OUTPUT}

    @staticmethod
    def full_state(stored: dict[str, Tensor]) -> dict[str, Tensor]:
        """The result of `stored_state` with the output layer restored."""
        return {**stored, **({OUTPUT: stored[EMBEDDING]} if EMBEDDING in stored else {})}


def _positions(mask: Tensor) -> Tensor:
    return (mask.cumsum(1) - 1).clamp(min=0)


def _gpt2(config: DecoderConfig, vocabulary: Vocabulary) -> GPT2LMHeadModel:
    # Imported only when needed: the import takes longer than captioning a clip.
    from transformers import GPT2Config
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.positions,
            n_embd=config.width,
            n_layer=config.layers,
            n_head=config.heads,
            resid_pdrop=config.dropout,
            embd_pdrop=config.dropout,
            attn_pdrop=config.dropout,
            bos_token_id=vocabulary.start,
            eos_token_id=vocabulary.end,
            pad_token_id=None,  # with one, transformers warns about a missing mask when nothing is padded
        )
    )


def _settings(decoding: Decoding, candidates: int, vocabulary: Vocabulary, config: DecoderConfig) -> dict[str, object]:
    """Keyword arguments of transformers' `generate`."""
    check_decoding(decoding, candidates)
    beams = max(decoding.beams, candidates) if decoding.method == "beam" else 1
    special = {vocabulary.start, vocabulary.pad} - {vocabulary.end}
    longest = min(decoding.max_tokens, config.max_tokens)
    unused = range(len(vocabulary), config.vocab_size)  # some checkpoints have more rows than tokens
    common: dict[str, object] = {
        "do_sample": False,
        "num_return_sequences": candidates if beams > 1 else 1,
        "num_beams": beams,
        "min_new_tokens": min(decoding.min_tokens, longest),
        "max_new_tokens": longest,
        "no_repeat_ngram_size": decoding.no_repeat_ngram,
        "suppress_tokens": sorted({*special, *unused, *vocabulary.broken_tokens}),
        "bos_token_id": vocabulary.start,
        "eos_token_id": vocabulary.end,
        "pad_token_id": vocabulary.pad,
    }
    if decoding.method == "nucleus":
        return {**common, "logits_processor": [NucleusNoise(decoding, candidates)]}
    return {**common, **({"length_penalty": decoding.length_penalty} if beams > 1 else {})}
