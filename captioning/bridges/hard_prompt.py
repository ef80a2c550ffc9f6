"""Hard prompts: the names of sounds, or captions, nearest to an embedding, handed to the decoder as words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from captioning.bridges.base import Bridge, Corpus, require
from captioning.bridges.config import HardPromptConfig
from captioning.bridges.neighbours import cosine_blocks, first_of_each, sample_places
from clapgen.errors import ClapgenError, nearest

SOURCES = ("labels", "captions")


def pack_lines(strings: Sequence[str]) -> Tensor:
    """Strings as one uint8 tensor of UTF-8 lines; white space within a string becomes single spaces."""
    content = "\n".join(" ".join(string.split()) for string in strings).encode()
    return torch.from_numpy(np.frombuffer(content, np.uint8).copy())


def unpack_lines(packed: Tensor) -> list[str]:
    """The strings of `pack_lines`; bytes that are not UTF-8 become replacement marks."""
    return packed.cpu().numpy().tobytes().decode(errors="replace").split("\n") if len(packed) else []


class HardPromptBridge(Bridge):
    """Retrieved words as a prompt (Zhang et al. 2024, arXiv 2406.06295).

    Retrieved by cosine to the text embedding in training and to the audio embedding afterwards, joined by commas:
    "dog, bark, animal". In training each is left out with chance `mask`. The source `captions` is RECAP's and DRCap's
    retrieval; a caption never retrieves itself in training, nor any nearer than cosine `below` (DRCap: 0.85).
    """

    name = "hard-prompt"
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
        require(0 <= config.mask <= 1, "hard_prompt.mask", config.mask, "between 0 and 1")
        require(config.size >= 0, "hard_prompt.size", config.size, "0 (all) or more")
        self.config = config
        self.register_buffer("words", torch.zeros(0, dtype=torch.uint8))
        self.register_buffer("keys", torch.zeros(0, dim))
        self.register_buffer("own", torch.zeros(0, dtype=torch.long), persistent=False)  # key of a row's own caption
        self._names: list[str] = []

    def fit(self, corpus: Corpus) -> None:
        if self.config.source == "labels":
            if corpus.label_embeddings is None or not len(corpus.labels):
                raise ClapgenError("the bridge 'hard-prompt' retrieves labels; give labels=FILE, or source captions.")
            names, keys = list(corpus.labels), corpus.label_embeddings
        else:
            if not len(corpus.text):
                raise ClapgenError("the bridge 'hard-prompt' has no caption to retrieve; give text=FILE with some.")
            first, which = first_of_each(list(corpus.captions))
            kept = sample_places(len(first), self.config.size)
            place = torch.full((len(first),), -1).scatter_(0, kept, torch.arange(len(kept)))
            names, keys = [corpus.captions[i] for i in first[kept].tolist()], corpus.text[first[kept]]
            self.own = place[which].to(self.own.device)
        self.words, self.keys = pack_lines(names).to(self.words.device), keys.to(self.keys)
        self._read_words()

    @torch.no_grad()
    def hints(
        self, embeddings: Tensor, generator: torch.Generator | None = None, rows: Tensor | None = None
    ) -> list[str]:
        found: list[str] = []
        own = self.own[rows.to(self.own.device)] if rows is not None and len(self.own) else None
        for block, cosines in cosine_blocks(embeddings, self.keys):
            if own is not None:
                self._hide_own(cosines, own[block])
            best = cosines.topk(min(self.config.count, len(self.keys)), dim=1)
            kept = best.values > -torch.inf
            if generator is not None:
                kept &= (torch.rand(kept.shape, generator=generator) >= self.config.mask).to(kept.device)
            for places, mask in zip(best.indices.tolist(), kept.tolist(), strict=True):
                found.append(", ".join(self._names[p] for p, k in zip(places, mask, strict=True) if k))
        return found

    def _hide_own(self, cosines: Tensor, own: Tensor) -> None:
        cosines[cosines > self.config.below] = -torch.inf
        within = (own >= 0).nonzero()[:, 0]  # a caption that the memory left out has no key of its own
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
