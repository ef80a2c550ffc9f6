"""Hard prompts: the labels or captions nearest to an embedding, given to the decoder as words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from captioning.bridges.base import BRIDGES, Bridge, BridgeData, require
from captioning.bridges.neighbours import cosine_blocks, sample_indices, unique_strings
from clapgen.errors import ClapgenError, nearest

SOURCES = ("labels", "captions")


@dataclass
class HardPromptConfig:
    """`count` labels or captions (`source`) are retrieved; in training each is dropped with probability `dropout`.

    Of the captions, `size` can be retrieved (0: all); in training, none with a cosine above `max_similarity`.
    """

    RENAMED_KEYS: ClassVar = {"mask": "dropout", "below": "max_similarity"}

    source: str = "labels"
    count: int = 4
    dropout: float = 0.4
    size: int = 0
    max_similarity: float = 1.0


def pack_lines(strings: Sequence[str]) -> Tensor:
    """Strings as one uint8 tensor of UTF-8 lines; whitespace within a string becomes single spaces."""
    content = "\n".join(" ".join(string.split()) for string in strings).encode()
    return torch.from_numpy(np.frombuffer(content, np.uint8).copy())


def unpack_lines(packed: Tensor) -> list[str]:
    """The strings of `pack_lines`; invalid UTF-8 becomes replacement characters."""
    return packed.cpu().numpy().tobytes().decode(errors="replace").split("\n") if len(packed) else []


@BRIDGES.register("hard-prompt")
class HardPromptBridge(Bridge):
    """Retrieved words as a prompt (Zhang et al. 2024, arXiv 2406.06295).

    Retrieved by cosine with the text embedding in training and with the audio embedding at inference, joined by commas:
    "dog, bark, animal". The source `captions` is the retrieval of RECAP and DRCap; in training a caption never
    retrieves itself, nor one more similar than `max_similarity` (DRCap: 0.85).
    """

    section = "hard_prompt"
    words: Tensor
    keys: Tensor
    own: Tensor

    def __init__(self, config: HardPromptConfig, dim: int) -> None:
        super().__init__()
        if config.source not in SOURCES:
            hint = nearest(config.source, SOURCES)
            raise ClapgenError(
                f"bridges.hard_prompt.source is '{config.source}', but must be labels or captions.{hint}"
            )
        require(config.count >= 1, "hard_prompt.count", config.count, "1 or more")
        require(0 <= config.dropout <= 1, "hard_prompt.dropout", config.dropout, "between 0 and 1")
        require(config.size >= 0, "hard_prompt.size", config.size, "0 (all) or more")
        self.config = config
        self.register_buffer("words", torch.zeros(0, dtype=torch.uint8))
        self.register_buffer("keys", torch.zeros(0, dim))
        self.register_buffer("own", torch.zeros(0, dtype=torch.long), persistent=False)  # key of a row's caption
        self._names: list[str] = []

    def fit(self, data: BridgeData) -> None:
        if self.config.source == "labels":
            if data.label_embeddings is None or not len(data.labels):
                raise ClapgenError("the bridge 'hard-prompt' retrieves labels; set labels=FILE, or source: captions.")
            names, keys = list(data.labels), data.label_embeddings
        else:
            if not len(data.text):
                raise ClapgenError("the bridge 'hard-prompt' has no caption to retrieve; set text=FILE with some.")
            first, index = unique_strings(list(data.captions))
            kept = sample_indices(len(first), self.config.size)
            key_of = torch.full((len(first),), -1).scatter_(0, kept, torch.arange(len(kept)))
            names, keys = [data.captions[i] for i in first[kept].tolist()], data.text[first[kept]]
            self.own = key_of[index].to(self.own.device)
        self.words, self.keys = pack_lines(names).to(self.words.device), keys.to(self.keys)
        self._read_words()

    @torch.no_grad()
    def retrieved_words(
        self, embeddings: Tensor, generator: torch.Generator | None = None, rows: Tensor | None = None
    ) -> list[str]:
        words: list[str] = []
        own = self.own[rows.to(self.own.device)] if rows is not None and len(self.own) else None
        for block, cosines in cosine_blocks(embeddings, self.keys):
            if own is not None:
                self._hide_own(cosines, own[block])
            best = cosines.topk(min(self.config.count, len(self.keys)), dim=1)
            kept = best.values > -torch.inf
            if generator is not None:
                kept &= (torch.rand(kept.shape, generator=generator) >= self.config.dropout).to(kept.device)
            for indices, keep in zip(best.indices.tolist(), kept.tolist(), strict=True):
                words.append(", ".join(self._names[i] for i, k in zip(indices, keep, strict=True) if k))
        return words

    def _hide_own(self, cosines: Tensor, own: Tensor) -> None:
        cosines[cosines > self.config.max_similarity] = -torch.inf
        within = (own >= 0).nonzero()[:, 0]  # captions beyond `size` have no key of their own
        cosines[within, own[within]] = -torch.inf

    def _read_words(self) -> None:
        self._names = unpack_lines(self.words)
        if len(self._names) != len(self.keys):
            raise ClapgenError(
                f"the bridge 'hard-prompt' holds {len(self._names)} names for {len(self.keys)} embeddings; the model "
                "is damaged: export or copy it again."
            )

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self._read_words()

    def describe(self) -> dict[str, float | str]:
        return {f"{self.config.source} to retrieve": len(self.keys), "retrieved": self.config.count}
