"""What every bridge over the modality gap is: a part between CLAP and the decoder, with one signature.

A decoder is trained on text embeddings and run on audio embeddings, which lie elsewhere in the space (Liang et al.
2022, "Mind the Gap"). A bridge may change what the decoder sees in training (`text`, `augment`), what it sees of a
sound (`audio`), or hand it words besides (`hints`). Bridges compose: a `BridgeChain` calls them in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from clapgen.errors import ClapgenError


@dataclass
class Corpus:
    """What a bridge may be fitted on. All embeddings are (n, dim), float32, of length 1.

    Args:
        captions: sentences, one for each row of `text`.
        text: their CLAP embeddings, as the bridges before this one leave them.
        labels: names of sounds (for hard prompts), with `label_embeddings` in the same space as `text`.
        weights: how often each sentence is drawn in training, on any scale, (n,); None are all alike.
        memory_rows: which of the sentences a memory may hold; None are all.
        audio: a few CLAP audio embeddings, where the method wants any; row i belongs with row i of `paired_text`.
    """

    captions: Sequence[str]
    text: Tensor
    labels: Sequence[str] = ()
    label_embeddings: Tensor | None = None
    audio: Tensor | None = None
    paired_text: Tensor | None = None
    memory_rows: Tensor | None = None
    weights: Tensor | None = None


class Bridge(nn.Module):
    """A bridge that does nothing; the base of the others. Whatever it learns is in its parameters and buffers.

    `reads_pairs` says that `fit` reads `Corpus.audio` and `Corpus.paired_text` where they are given. A buffer whose
    size is known only after `fit` is registered without rows, (0, ...), and takes as many rows as a loaded state has;
    what only training needs is not persistent.
    """

    name: ClassVar[str] = "none"
    reads_pairs: ClassVar[bool] = False

    def fit(self, corpus: Corpus) -> None:
        """Take what is needed from the corpus into buffers. Called once, before training."""

    def text(self, embeddings: Tensor) -> Tensor:
        """What becomes of text embeddings (n, dim) always: training, fitting of later bridges. Deterministic."""
        return embeddings

    def augment(self, embeddings: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
        """What the decoder sees of text embeddings (n, dim) in training; `rows` (n,) are their places in the corpus.

        All chance is drawn from `generator`, on the CPU.
        """
        return embeddings

    def audio(self, embeddings: Tensor) -> Tensor:
        """What the decoder, or the next bridge, sees of audio embeddings (n, dim). Deterministic, row by row."""
        return embeddings

    def hints(
        self, embeddings: Tensor, generator: torch.Generator | None = None, rows: Tensor | None = None
    ) -> list[str] | None:
        """A few words for each row (n, dim) that the decoder reads besides; None where a bridge gives none.

        With a generator, as in training, words are masked by chance; `rows` (n,) are then the places in the corpus, so
        that a caption is not handed its own words.
        """
        return None

    def loss(self, embeddings: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor | None:
        """The bridge's own training objective on text embeddings (n, dim); None where nothing is learned so."""
        return None

    def describe(self) -> dict[str, float | str]:
        """Figures worth printing once before training, such as the cosine that a noise variance means."""
        return {}

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """As torch's, but a buffer without rows takes as many as are stored."""
        for name, buffer in self._buffers.items():
            stored = state_dict.get(prefix + name)
            if buffer is not None and stored is not None and takes_rows(buffer, stored):
                setattr(self, name, torch.empty(stored.shape, dtype=buffer.dtype, device=buffer.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def takes_rows(empty: Tensor, stored: Tensor) -> bool:
    """Whether `empty`, of shape (0, ...), may take the rows of `stored`: all other sizes agree."""
    return empty.ndim > 0 and len(empty) == 0 and empty.ndim == stored.ndim and empty.shape[1:] == stored.shape[1:]


def require(valid: bool, key: str, value: object, rule: str) -> None:
    """ClapgenError naming the recipe's key and what its value must be, unless it is `valid`."""
    if not valid:
        raise ClapgenError(f"bridges.{key} is {value}, but must be {rule}.")


def paired_embeddings(corpus: Corpus, name: str) -> tuple[Tensor, Tensor]:
    """Audio and text embeddings (n, dim) of the corpus's pairs. ClapgenError, for the bridge `name`, without any."""
    if corpus.audio is None or corpus.paired_text is None or not len(corpus.audio):
        raise ClapgenError(
            f"the bridge '{name}' is fitted on a few sounds with their captions; give pairs=MANIFEST, or choose "
            "another bridge."
        )
    return corpus.audio, corpus.paired_text


class BridgeChain(nn.Module):
    """Bridges in order, each with what the one before made of text and audio."""

    def __init__(self, bridges: Sequence[Bridge]) -> None:
        super().__init__()
        self.bridges = nn.ModuleList(bridges)

    @property
    def names(self) -> list[str]:
        """Names of the bridges, in order."""
        return [bridge.name for bridge in self]

    def __iter__(self) -> Iterator[Bridge]:
        return iter(self.bridges)  # type: ignore[arg-type]

    def fit(self, corpus: Corpus) -> Corpus:
        """Fit each on the corpus as the ones before it leave it; gives back the corpus as the last one leaves it."""
        for bridge in self:
            bridge.fit(corpus)
            labels, audio, paired = corpus.label_embeddings, corpus.audio, corpus.paired_text
            corpus = replace(
                corpus,
                text=bridge.text(corpus.text),
                label_embeddings=None if labels is None else bridge.text(labels),
                audio=None if audio is None else bridge.audio(audio),
                paired_text=None if paired is None else bridge.text(paired),
            )
        return corpus

    def train_text(self, text: Tensor, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, list[str] | None]:
        """Embeddings (n, dim) and hints that the decoder is trained on, of text embeddings (n, dim)."""
        hints = None
        for bridge in self:
            text = bridge.augment(bridge.text(text), rows, generator)
            hints = bridge.hints(text, generator, rows) or hints
        return text, hints

    def audio(self, audio: Tensor) -> tuple[Tensor, list[str] | None]:
        """Embeddings (n, dim) and hints that the decoder gets of audio embeddings (n, dim)."""
        hints = None
        for bridge in self:
            audio = bridge.audio(audio)
            hints = bridge.hints(audio) or hints
        return audio, hints

    def text(self, text: Tensor) -> Tensor:
        """Text embeddings (n, dim) as audio embeddings are to look after `audio`: without any chance."""
        for bridge in self:
            text = bridge.text(text)
        return text

    def loss(self, text: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor | None:
        """Sum of the bridges' own objectives on text embeddings (n, dim); None if there are none."""
        total: Tensor | None = None
        for bridge in self:
            text = bridge.text(text).detach()
            loss = bridge.loss(text, rows, generator)
            total = loss if total is None else total if loss is None else total + loss
        return total
