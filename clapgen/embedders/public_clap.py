"""Base of public CLAPs: public embedders that embed text too, in a choice of number formats."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from clapgen.devices import inference
from clapgen.embedders.public import PublicEmbedder
from clapgen.errors import ClapgenError, nearest

TEXTS_PER_BATCH = 64
DTYPES = ("float32", "bfloat16", "float16")


class PublicClap(PublicEmbedder):
    """A public CLAP. A subclass also sets `_load_tokenizer` in `_load`, and embeds tokens in `_embed_tokens`."""

    max_tokens: ClassVar[int] = 77
    normalised = True
    dtype_name = "float32"

    _load_tokenizer: Callable[[], Any]
    _tokenizer: Any = None

    @property
    @abstractmethod
    def logit_scale(self) -> Tensor:
        """The learned inverse temperature."""

    @abstractmethod
    def _embed_tokens(self, texts: list[str]) -> Tensor:
        """Embeddings (texts, dim) of any length."""

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (n, dim) of sentences: float32, length 1, on the CPU. Texts are cut after `max_tokens`."""
        if isinstance(texts, str):
            raise TypeError("embed_text takes a list of texts")
        self._tokenizer_on_first_use()
        embeddings = torch.zeros(len(texts), self.dim)
        by_length = sorted(range(len(texts)), key=lambda index: len(texts[index]))  # little padding
        with inference(self.network):
            for start in range(0, len(texts), TEXTS_PER_BATCH):
                rows = by_length[start : start + TEXTS_PER_BATCH]
                embeddings[rows] = F.normalize(self._embed_tokens([texts[row] for row in rows]).float(), dim=-1).cpu()
        return embeddings

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each text, including those that are cut off."""
        return [len(ids) for ids in self._tokenizer_on_first_use()(list(texts))["input_ids"]]

    def set_dtype(self, name: str) -> None:
        """Compute in float32, bfloat16 or float16 from now on; log-mels and embeddings stay float32.

        Raises:
            ClapgenError: an unknown type, or one that the device lacks.
        """
        if name not in DTYPES:
            raise ClapgenError(f"dtype must be {', '.join(DTYPES)}, not '{name}'.{nearest(name, DTYPES)}")
        if name == "float16" and self.device.type == "cpu":
            raise ClapgenError("CPUs compute float16 slowly or not at all; use dtype=bfloat16.")
        self.network.to(getattr(torch, name))
        self.dtype_name = name
        self._prepare()

    def _prepare(self) -> None:
        """Derive what depends on the weights; called when they are loaded or change their type."""

    def _tokenizer_on_first_use(self) -> Any:
        if self._tokenizer is None:
            with self._loading():
                self._tokenizer = self._load_tokenizer()
        return self._tokenizer
