"""EnCodec's latents as embeddings, for distances between sets of audio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clapgen.devices import inference
from clapgen.embedders.public import Array, PublicEmbedder, load_network
from clapgen.embedders.registry import EMBEDDERS

WINDOW_SECONDS = 10.0


@EMBEDDERS.register("encodec")
class Encodec(PublicEmbedder):
    """The latents of EnCodec's encoder before quantisation (Défossez et al. 2022), averaged over time."""

    kind = "encodec"
    model_type = "encodec"

    def _load(self, folder: Path) -> None:
        from transformers import EncodecModel

        self.network = load_network(EncodecModel, folder).to(self.device)
        config = self.network.config
        self.sample_rate, self.dim = config.sampling_rate, config.hidden_size
        self.window = round(WINDOW_SECONDS * self.sample_rate)

    def embed_frames(self, waveform: Any, sample_rate: int) -> Tensor:
        """Latent frames (frames, dim) of one waveform; those of overlapping windows follow one another."""
        with inference(self.network):
            return torch.cat([self._latents(window) for window in self._windows(waveform, sample_rate)]).float().cpu()

    def _embed(self, windows: list[Array]) -> Tensor:
        # One by one: padding a short clip would change its latents, and batching gains little for an LSTM on a CPU.
        return torch.stack([self._latents(window).mean(0) for window in windows])

    def _latents(self, window: Array) -> Tensor:
        samples = torch.from_numpy(window).to(self.device)
        if self.network.config.normalize:
            samples = samples / (samples.square().mean().sqrt() + 1e-8)
        channels = self.network.config.audio_channels
        return self.network.encoder(samples.expand(1, channels, -1))[0].T  # (frames, dim)
