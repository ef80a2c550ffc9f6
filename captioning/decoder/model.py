"""`CaptionDecoder`: a mapping network in front of a small causal language model."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioning.decoder.config import DecoderConfig, Decoding, check_decoder
from captioning.decoder.mapper import build_mapper
from captioning.decoder.sampling import NucleusNoise
from captioning.decoder.vocabulary import Vocabulary, left_padded, right_padded
from clapgen.errors import ClapgenError, nearest

if TYPE_CHECKING:
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

METHODS = ("beam", "greedy", "nucleus")
IGNORED = -100
EMBEDDING, OUTPUT = "language_model.transformer.wte.weight", "language_model.lm_head.weight"


class CaptionDecoder(nn.Module):
    """Embeddings to captions: hints (if any), the mapped prefix, then the caption's tokens (as ClipCap does)."""

    def __init__(
        self, config: DecoderConfig, vocabulary: Vocabulary, language_model: GPT2LMHeadModel | None = None
    ) -> None:
        super().__init__()
        check_decoder(config)
        self.config, self.vocabulary = config, vocabulary
        self.mapper = build_mapper(config)
        self.language_model: Any = language_model or _gpt2(config, vocabulary)

    def forward(self, embeddings: Tensor, captions: Sequence[str], hints: Sequence[str] | None = None) -> Tensor:
        """Mean cross-entropy (a scalar) of the captions' tokens and their end mark, given embeddings (batch, dim)."""
        words = self.vocabulary
        rows = [[words.start, *ids, words.end] for ids in words.encode(captions, self.config.max_tokens)]
        tokens, token_mask = (each.to(embeddings.device) for each in right_padded(rows, words.pad))
        begin, begin_mask = self._beginning(embeddings, hints)
        inputs = torch.cat([begin, self._embed(tokens[:, :-1])], 1)
        mask = torch.cat([begin_mask, token_mask[:, :-1]], 1)
        states = self.language_model.transformer(
            inputs_embeds=inputs, attention_mask=mask, position_ids=_positions(mask), use_cache=False
        ).last_hidden_state[:, begin.shape[1] :]
        targets = tokens[:, 1:].masked_fill(token_mask[:, 1:] == 0, IGNORED)
        wanted = targets != IGNORED  # the large matrix of logits is made for real tokens alone
        return F.cross_entropy(self.language_model.lm_head(states[wanted]).float(), targets[wanted])

    @torch.no_grad()
    def generate(
        self, embeddings: Tensor, hints: Sequence[str] | None = None, decoding: Decoding | None = None, count: int = 1
    ) -> list[list[str]]:
        """`count` captions for each embedding (batch, dim), the likeliest first (nucleus: as they were drawn).

        Raises:
            ClapgenError: a setting of `decoding` is out of its range.
        """
        decoding = decoding or Decoding()
        settings = _settings(decoding, count, self.vocabulary, self.config)
        begin, mask = self._beginning(embeddings, hints)
        start = torch.full((len(embeddings), 1), self.vocabulary.start, device=embeddings.device)
        begin = torch.cat([begin, self._embed(start)], 1)
        mask = torch.cat([mask, torch.ones_like(start)], 1)
        if decoding.method == "nucleus":
            begin, mask = begin.repeat_interleave(count, 0), mask.repeat_interleave(count, 0)
        with warnings.catch_warnings():  # the n-gram rule is meant for the caption alone
            warnings.filterwarnings("ignore", message=".*no_repeat_ngram_size")
            ids = self.language_model.generate(inputs_embeds=begin, attention_mask=mask, **settings)
        texts = [self.vocabulary.decode(row) for row in ids.tolist()]
        return [texts[start : start + count] for start in range(0, len(texts), count)]

    def _beginning(self, embeddings: Tensor, hints: Sequence[str] | None) -> tuple[Tensor, Tensor]:
        """What comes before the caption, (batch, length, width), and its mask (batch, length)."""
        prefix = self.mapper(embeddings)
        mask = torch.ones(prefix.shape[:2], dtype=torch.long, device=prefix.device)
        if hints is None:
            return prefix, mask
        words = self.vocabulary
        rows = words.encode(hints, self.config.hint_tokens)
        tokens, hint_mask = (each.to(prefix.device) for each in left_padded(rows, words.pad))
        return torch.cat([self._embed(tokens), prefix], 1), torch.cat([hint_mask, mask], 1)

    def _embed(self, tokens: Tensor) -> Tensor:
        return self.language_model.transformer.wte(tokens)

    def stored_state(self) -> dict[str, Tensor]:
        """The state dict without the output layer, which is the token embedding itself."""
        return {key: value for key, value in self.state_dict().items() if key != OUTPUT}

    @staticmethod
    def full_state(stored: dict[str, Tensor]) -> dict[str, Tensor]:
        """What `stored_state` gave, with the output layer again."""
        return {**stored, **({OUTPUT: stored[EMBEDDING]} if EMBEDDING in stored else {})}


def _positions(mask: Tensor) -> Tensor:
    return (mask.cumsum(1) - 1).clamp(min=0)


def _gpt2(config: DecoderConfig, vocabulary: Vocabulary) -> GPT2LMHeadModel:
    # Imported when one is built: the import takes longer than captioning a sound.
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
            pad_token_id=None,  # with one, transformers warns of a missing mask wherever nothing is padded
        )
    )


def _settings(decoding: Decoding, count: int, vocabulary: Vocabulary, config: DecoderConfig) -> dict[str, object]:
    """Keyword arguments of transformers' `generate`."""
    check_decoding(decoding, count)
    beams = max(decoding.beams, count) if decoding.method == "beam" else 1
    marks = {vocabulary.start, vocabulary.pad} - {vocabulary.end}
    longest = min(decoding.max_tokens, config.max_tokens)
    nameless = range(len(vocabulary), config.vocab_size)  # some checkpoints have more rows than words
    common: dict[str, object] = {
        "do_sample": False,
        "num_return_sequences": count if beams > 1 else 1,
        "num_beams": beams,
        "min_new_tokens": min(decoding.min_tokens, longest),
        "max_new_tokens": longest,
        "no_repeat_ngram_size": decoding.no_repeat_ngram,
        "suppress_tokens": sorted({*marks, *nameless, *vocabulary.broken_tokens}),
        "bos_token_id": vocabulary.start,
        "eos_token_id": vocabulary.end,
        "pad_token_id": vocabulary.pad,
    }
    if decoding.method == "nucleus":
        return {**common, "logits_processor": [NucleusNoise(decoding, count)]}
    return {**common, **({"length_penalty": decoding.length_penalty} if beams > 1 else {})}


def check_decoding(decoding: Decoding, count: int = 1) -> None:
    """Raise ClapgenError if a setting is unknown or out of range."""
    if decoding.method not in METHODS:
        raise ClapgenError(
            f"there is no decoding method '{decoding.method}': choose of {', '.join(METHODS)}."
            f"{nearest(decoding.method, METHODS)}"
        )
    if count < 1:
        raise ClapgenError(f"candidates must be at least 1, not {count}")
    if count > 1 and decoding.method == "greedy":
        raise ClapgenError("greedy decoding knows one caption alone; take beam or nucleus for several candidates")
    for name, value, lowest in (
        ("beams", decoding.beams, 1),
        ("max_tokens", decoding.max_tokens, 1),
        ("min_tokens", decoding.min_tokens, 1),
        ("no_repeat_ngram", decoding.no_repeat_ngram, 0),
    ):
        if value < lowest:
            raise ClapgenError(f"{name} must be at least {lowest}, not {value}")
    if decoding.min_tokens > decoding.max_tokens:
        raise ClapgenError(f"min_tokens={decoding.min_tokens} must be at most max_tokens={decoding.max_tokens}")
    if not math.isfinite(decoding.length_penalty):
        raise ClapgenError(f"length_penalty must be a finite number, not {decoding.length_penalty}")
    if not 0 < decoding.top_p <= 1:
        raise ClapgenError(f"top_p must be above 0 and at most 1, not {decoding.top_p:g}")
    if not 0 < decoding.temperature < math.inf:
        raise ClapgenError(f"temperature must be above 0 and finite, not {decoding.temperature:g}")
