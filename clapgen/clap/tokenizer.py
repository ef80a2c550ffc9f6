"""The tokenizer of the text tower: byte-level BPE, trained, applied, saved and loaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from clapgen.errors import ClapgenError
from clapgen.files import atomic_path

PAD = "<pad>"


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a lower-casing byte-level BPE on `texts`. It needs no unknown token: any string can be tokenized."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[PAD], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def tokenize(tokenizer: Tokenizer, texts: Sequence[str], max_tokens: int) -> tuple[Tensor, Tensor]:
    """Token ids and mask (1 = token), both (batch, tokens): padded to the longest text, cut at `max_tokens`."""
    encoded = [e.ids[:max_tokens] or [0] for e in tokenizer.encode_batch(list(texts))]
    length = max(len(ids) for ids in encoded)
    tokens = torch.tensor([ids + [0] * (length - len(ids)) for ids in encoded])
    lengths = torch.tensor([len(ids) for ids in encoded])
    return tokens, (torch.arange(length) < lengths[:, None]).long()


def save_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    """Write a tokenizer.json atomically, replacing an existing one."""
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(tokenizer.to_str(pretty=True), encoding="utf-8")


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer.json. `ClapgenError` if it is missing or damaged."""
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers library raises bare Exception
        raise ClapgenError(f"{path} is missing or not a tokenizer; install the model again") from error
