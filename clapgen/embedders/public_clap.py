"""Base of public CLAPs: public embedders that embed text too, in a choice of number formats."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from clapgen.devices import inference
from clapgen.embedders.checkpoints import find_tokenizer, has_tokenizer, model_type_of
from clapgen.embedders.public import PublicEmbedder
from clapgen.errors import ClapgenError, nearest

TEXTS_PER_BATCH = 64
DTYPES = ("float32", "bfloat16", "float16")


class PublicClap(PublicEmbedder):
    """A public CLAP. A subclass also embeds texts in `_embed_tokens`, and converts pickles in `_write`."""

    max_tokens = 77
    normalised = True
    dtype_name = "float32"

    tokenizer_name = ""  # on the hub, for checkpoints that come without one
    _tokenizer_folders: list[Path]  # where a tokenizer may be
    _tokenizer: Any = None

    def _folder(self, path: Path) -> Path:
        """The folder of a checkpoint; that of a pickle is in the cache, where it is converted to at its first use."""
        self._tokenizer_folders = [path if path.is_dir() else path.parent]
        if path.is_dir() and model_type_of(path):
            return path
        from clapgen.embedders.pickles import converted, sole_pickle

        folder = converted(sole_pickle(path), self._write)
        self._tokenizer_folders.append(folder)
        return folder

    @staticmethod
    @abstractmethod
    def _write(weights: dict[str, Tensor], folder: Path) -> None:
        """Write weights of the original code into a folder, with the config that they belong to.

        Raises:
            ValueError: they are not those of a checkpoint of this kind.
        """

    @property
    @abstractmethod
    def logit_scale(self) -> Tensor:
        """The learned inverse temperature."""

    @abstractmethod
    def _embed_tokens(self, texts: list[str]) -> Tensor:
        """Embeddings (n, dim) of any length, of texts."""

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (n, dim) of sentences: float32, length 1, on the CPU. Texts are cut after `max_tokens`."""
        if isinstance(texts, str):
            raise TypeError("embed_text takes a list of texts")
        self._tokenizer_on_first_use()
        by_length = sorted(range(len(texts)), key=lambda index: len(texts[index]))  # little padding
        with inference(self.network):
            embeddings = torch.zeros(len(texts), self.dim)
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

    def _load_tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        found = [folder for folder in self._tokenizer_folders if has_tokenizer(folder)]
        if not found and not self.tokenizer_name:
            raise ValueError("its tokenizer is missing.")
        folder = found[0] if found else find_tokenizer(self.tokenizer_name)
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
