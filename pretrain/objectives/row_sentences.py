"""Sentences that belong to the rows of a batch: several a row, embedded once each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor

from pretrain.objectives.base import ClapBatch


def pack(name: str, sentences: Sequence[Sequence[str]], most: int) -> dict[str, Tensor | list[str]]:
    """What `Objective.draw` returns for up to `most` sentences of each row; `unpack` takes it apart.

    Args:
        name: Key of the distinct sentences; there is none without sentences.
    """
    numbers: dict[str, int] = {}
    places = torch.full((len(sentences), most), -1)
    for row, own in enumerate(sentences):
        for column, sentence in enumerate(own[:most]):
            places[row, column] = numbers.setdefault(sentence, len(numbers))
    drawn: dict[str, Tensor | list[str]] = {f"{name}_places": places}
    return drawn | ({name: list(numbers)} if numbers else {})


def unpack(name: str, batch: ClapBatch) -> tuple[Tensor, Tensor]:
    """Embeddings (batch, most, dim) of the sentences of each row, and which exist (batch, most)."""
    extra: Mapping[str, Tensor] = batch.extra
    places = extra[f"{name}_places"]
    if name not in extra:
        return batch.text.new_zeros(*places.shape, batch.text.shape[1]), places >= 0
    return extra[name][places.clamp(min=0)], places >= 0


def some_of(sentences: Sequence[str], count: int, generator: Generator) -> list[str]:
    """Up to `count` of the distinct sentences, drawn at random without replacement."""
    distinct = list(dict.fromkeys(sentences))
    return [distinct[i] for i in torch.randperm(len(distinct), generator=generator)[:count].tolist()]
