"""The latents of the Descript Audio Codec as embeddings, for distances between sets of audio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clapgen.devices import inference
from clapgen.embedders.public import Array, PublicEmbedder, load_network
from clapgen.embedders.registry import EMBEDDERS

WINDOW_SECONDS = 10.0


@EMBEDDERS.register("dac")
class Dac(PublicEmbedder):
    """The latents of DAC's encoder before quantisation (Kumar et al. 2023), averaged over time."""

    kind = "dac"
    model_type = "dac"

    def _load(self, folder: Path) -> None:
        from transformers import DacModel

        self.network = load_network(DacModel, folder).to(self.device)
        config = self.network.config
        self.sample_rate, self.dim, self._hop = config.sampling_rate, config.hidden_size, config.hop_length
        self.window = round(WINDOW_SECONDS * self.sample_rate)

    def embed_frames(self, waveform: Any, sample_rate: int) -> Tensor:
        """Latent frames (frames, dim) of one waveform; those of overlapping windows follow one another."""
        with inference(self.network):
            return torch.cat([self._latents(window) for window in self._windows(waveform, sample_rate)]).float().cpu()

    def _embed(self, windows: list[Array]) -> Tensor:
        return torch.stack([self._latents(window).mean(0) for window in windows])  # padding would change their latents

    def _latents(self, window: Array) -> Tensor:
        samples = torch.from_numpy(window).to(self.device)
        padded = torch.nn.functional.pad(samples, (0, -len(samples) % self._hop))
        return self.network.encoder(padded[None, None])[0].T  # (frames, dim)
