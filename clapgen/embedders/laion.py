"""LAION's CLAP, and any other checkpoint of transformers' ClapModel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from clapgen.devices import inference
from clapgen.embedders.public import SAFELY, Array, PublicEmbedder, pooled
from clapgen.embedders.registry import EMBEDDERS

TEXTS_PER_BATCH = 64


@EMBEDDERS.register("laion")
class LaionClap(PublicEmbedder):
    """A ClapModel (Wu et al. 2023), which embeds text too."""

    kind = "laion"
    model_type = "clap"
    max_tokens = 77
    normalised = True
    short_clips = "shorter clips repeated as often as they fit and padded with zeros"

    def _load(self, folder: Path) -> None:
        from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

        self.network = ClapModel.from_pretrained(folder, **SAFELY).eval().to(self.device)
        self.extractor = ClapFeatureExtractor.from_pretrained(folder, trust_remote_code=False)
        self._tokenizer: Any = None
        self._load_tokenizer = lambda: AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        self.sample_rate, self.dim = self.extractor.sampling_rate, self.network.config.projection_dim
        self.window = round(self.extractor.max_length_s * self.sample_rate)

    @property
    def logit_scale(self) -> Tensor:
        """The learned inverse temperature of audio."""
        return self.network.logit_scale_a.exp()

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (n, dim) of sentences: float32, length 1, on the CPU. Texts are cut after 77 tokens."""
        if isinstance(texts, str):
            raise TypeError("embed_text takes a list of texts")
        with inference(self.network):
            return self._embed_text(texts)

    def _embed_text(self, texts: Sequence[str]) -> Tensor:
        pieces = [torch.zeros(0, self.dim)]
        tokenizer = self._tokenizer_on_first_use()
        for start in range(0, len(texts), TEXTS_PER_BATCH):
            batch = list(texts[start : start + TEXTS_PER_BATCH])
            tokens = tokenizer(batch, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt")
            output = self.network.get_text_features(
                input_ids=tokens["input_ids"].to(self.device), attention_mask=tokens["attention_mask"].to(self.device)
            )
            pieces.append(F.normalize(pooled(output).float(), dim=-1).cpu())
        return torch.cat(pieces)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each text, including those that are cut off."""
        return [len(ids) for ids in self._tokenizer_on_first_use()(list(texts))["input_ids"]]

    def _tokenizer_on_first_use(self) -> Any:
        if self._tokenizer is None:
            with self._loading():
                self._tokenizer = self._load_tokenizer()
        return self._tokenizer

    def _embed(self, windows: list[Array]) -> Tensor:
        features = self.extractor(
            windows, sampling_rate=self.sample_rate, padding="repeatpad", return_tensors="pt"
        )  # no window is longer than max_length_s, so the extractor never crops at random
        not_longer = torch.zeros(len(windows), 1, dtype=torch.bool)  # the extractor marks one as longer at random
        output = self.network.get_audio_features(
            input_features=features["input_features"].float().to(self.device), is_longer=not_longer.to(self.device)
        )
        return F.normalize(pooled(output).float(), dim=-1)
