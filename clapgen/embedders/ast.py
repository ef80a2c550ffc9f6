"""The audio spectrogram transformer as an embedder, for distances between sets of audio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from clapgen.embedders.public import Array, PublicEmbedder, load_network, pooled
from clapgen.embedders.registry import EMBEDDERS

KALDI_FRAME_SAMPLES, KALDI_HOP_SAMPLES = 400, 160  # fixed in AST's feature extractor


@EMBEDDERS.register("ast")
class SpectrogramTransformer(PublicEmbedder):
    """The pooled output of an AST (Gong et al. 2021), used as the embedding of the classifier VGGish is."""

    kind = "ast"
    model_type = "audio-spectrogram-transformer"
    short_clips = "shorter clips padded as its feature extractor does"

    def _load(self, folder: Path) -> None:
        from transformers import ASTFeatureExtractor, ASTModel

        self.network = load_network(ASTModel, folder).to(self.device)
        self.extractor = ASTFeatureExtractor.from_pretrained(folder, trust_remote_code=False)
        self.sample_rate, self.dim = self.extractor.sampling_rate, self.network.config.hidden_size
        self.window = (self.extractor.max_length - 1) * KALDI_HOP_SAMPLES + KALDI_FRAME_SAMPLES

    def _embed(self, windows: list[Array]) -> Tensor:
        padded = [np.pad(window, (0, max(0, KALDI_FRAME_SAMPLES - len(window)))) for window in windows]
        features = self.extractor(padded, sampling_rate=self.sample_rate, return_tensors="pt")
        return pooled(self.network(input_values=features["input_values"].float().to(self.device)))
