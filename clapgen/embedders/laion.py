"""LAION's CLAP: any checkpoint of transformers' ClapModel, and the .pt files of LAION's own code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from clapgen.devices import inference
from clapgen.embedders.clap_features import ClapFeatures
from clapgen.embedders.htsat import Htsat
from clapgen.embedders.laion_keys import MARK, TOKENIZER, write_clap
from clapgen.embedders.public import Array, load_network, pooled
from clapgen.embedders.public_clap import PublicClap
from clapgen.embedders.registry import EMBEDDERS


@EMBEDDERS.register("laion")
class LaionClap(PublicClap):
    """A ClapModel (Wu et al. 2023), unfused or fused. Numbers of the log-mel are the checkpoint's own."""

    kind = "laion"
    model_type = "clap"
    tokenizer_name = TOKENIZER
    layout = "It must be a folder (or hub model) in transformers' layout, or a .pt file of LAION's own code."
    short_clips = "shorter clips repeated as often as they fit and padded with zeros"

    @classmethod
    def recognises(cls, weights: Mapping[str, Tensor]) -> bool:
        """Whether these are weights of LAION's own code."""
        return MARK in weights

    @staticmethod
    def _write(weights: dict[str, Tensor], folder: Path) -> None:
        write_clap(weights, folder)

    def _load(self, folder: Path) -> None:
        from transformers import ClapFeatureExtractor, ClapModel

        self.network = load_network(ClapModel, folder).to(self.device)
        extractor = ClapFeatureExtractor.from_pretrained(folder, trust_remote_code=False)
        self.features = ClapFeatures(extractor, self.device)
        if self.features.fused and not self.network.config.audio_config.enable_fusion:
            raise ValueError("its preprocessor_config.json is for fusion, its config.json is not.")
        self.sample_rate, self.dim = extractor.sampling_rate, self.network.config.projection_dim
        self.window = self.features.window
        self._prepare()

    def _prepare(self) -> None:
        self.tower = Htsat(self.network.audio_model.audio_encoder)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the checkpoint as transformers expects it: config, safetensors, feature extractor and tokenizer."""
        self.network.save_pretrained(folder)
        self.features.extractor.save_pretrained(folder)
        self._tokenizer_on_first_use().save_pretrained(folder)

    @property
    def logit_scale(self) -> Tensor:
        """The learned inverse temperature of audio; that of text was not trained in LAION's checkpoints."""
        return self.network.logit_scale_a.float().exp()

    @property
    def fuses(self) -> bool:
        """Whether the checkpoint was trained with feature fusion."""
        return self.features.fused

    def embed_whole(self, waveform: Array) -> Tensor:
        """Embedding (dim,) float32 of a waveform (samples,) of any length, of a checkpoint that `fuses`.

        With LAION's feature fusion, made deterministic (see `ClapFeatures.of_whole`).
        """
        with inference(self.network):
            features, is_longer = self.features.of_whole(waveform)
            # Never set for short clips: transformers would mark a random one, and LAION's own evaluation marks none.
            longer = torch.zeros(int(is_longer), dtype=torch.long, device=self.device)
            return self._project(self.tower(features, longer))[0].cpu()

    def _embed(self, windows: list[Array]) -> Tensor:
        return self._project(self.tower(self.features.of_windows(windows)))

    def _project(self, features: Tensor) -> Tensor:
        projection = self.network.audio_projection
        return F.normalize(projection(features.to(projection.linear1.weight.dtype)).float(), dim=-1)

    def _embed_tokens(self, texts: list[str]) -> Tensor:
        tokenizer = self._tokenizer_on_first_use()
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt")
        return pooled(
            self.network.get_text_features(
                input_ids=tokens["input_ids"].to(self.device), attention_mask=tokens["attention_mask"].to(self.device)
            )
        )
