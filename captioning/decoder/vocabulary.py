"""The decoder's tokenizer: a case-preserving byte-level BPE with tokens for the start and end of a caption."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from clapgen.errors import ClapgenError

PAD, START, END = "<pad>", "<start>", "<end>"
GPT2_END = "<|endoftext|>"


def train_vocabulary(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a byte-level BPE, which can encode any text, on `texts`, with tokens for padding, start and end."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


class Vocabulary:
    """A tokenizer and its start, end and padding ids. GPT-2's own has one special token, used for all three."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.start = self._special(START)
        self.end = self._special(END)
        self.pad = self._special(PAD)

    def __len__(self) -> int:
        return self.tokenizer.get_vocab_size()

    def encode(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        """Token ids of each text, without special tokens, truncated to `max_tokens`."""
        return [encoded.ids[:max_tokens] for encoded in self.tokenizer.encode_batch(list(texts))]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids up to the first end token; invalid UTF-8 is removed."""
        tokens = list(ids)
        if self.end in tokens:
            tokens = tokens[: tokens.index(self.end)]
        return self.tokenizer.decode(tokens, skip_special_tokens=True).replace("\ufffd", "").strip()

    @cached_property
    def broken_tokens(self) -> list[int]:
        """Tokens that captions must not contain: parts of a character, control characters, and whitespace alone."""
        texts = self.tokenizer.decode_batch([[id_] for id_ in range(len(self))], skip_special_tokens=False)
        return [id_ for id_, text in enumerate(texts) if "\ufffd" in text or not text.isprintable() or not text.strip()]

    def _special(self, token: str) -> int:
        for name in (token, GPT2_END):
            id_ = self.tokenizer.token_to_id(name)
            if id_ is not None:
                return id_
        raise ClapgenError(f"the captioner's tokenizer has no token {token}; train the captioner again")


def right_padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Ids and mask (1 = token), (rows, longest), tokens first."""
    longest = max((len(row) for row in rows), default=0)
    ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows], dtype=torch.long)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], dtype=torch.long)
    return ids.view(len(rows), longest), mask.view(len(rows), longest)


def left_padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Ids and mask (1 = token), (rows, longest), tokens last."""
    ids, mask = right_padded([list(reversed(row)) for row in rows], pad)
    return ids.flip(1), mask.flip(1)
