"""The words of a decoder: a byte-level BPE that keeps case, and its marks for the beginning and end of a caption."""

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
    """A byte-level BPE (any text has tokens) learned from `texts`, with marks for padding, start and end."""
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
    """A tokenizer with its start, end and padding ids. GPT-2's own has one mark, which serves as all three."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.start = self._mark(START)
        self.end = self._mark(END)
        self.pad = self._mark(PAD)

    def __len__(self) -> int:
        return self.tokenizer.get_vocab_size()

    def encode(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        """Token ids of each text, without marks, cut at `max_tokens`."""
        return [encoded.ids[:max_tokens] for encoded in self.tokenizer.encode_batch(list(texts))]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids up to the first end mark; bytes that are no UTF-8 are left out."""
        words = list(ids)
        if self.end in words:
            words = words[: words.index(self.end)]
        return self.tokenizer.decode(words, skip_special_tokens=True).replace("\ufffd", "").strip()

    @cached_property
    def broken_tokens(self) -> list[int]:
        """Tokens that no caption may have: parts of a character, control codes, and white space by itself."""
        texts = self.tokenizer.decode_batch([[id_] for id_ in range(len(self))], skip_special_tokens=False)
        return [id_ for id_, text in enumerate(texts) if "\ufffd" in text or not text.isprintable() or not text.strip()]

    def _mark(self, mark: str) -> int:
        for name in (mark, GPT2_END):
            id_ = self.tokenizer.token_to_id(name)
            if id_ is not None:
                return id_
        raise ClapgenError(f"the tokenizer of the captioner has no mark {mark}; train the captioner again")


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
