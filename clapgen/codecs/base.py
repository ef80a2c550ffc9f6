"""The interface of codecs, and what is common to those of transformers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from clapgen.audio.waveform import as_float, refuse_impossible_samples, resample
from clapgen.devices import inference
from clapgen.embedders.checkpoints import content_hash, model_type_of
from clapgen.embedders.public import load_network, loading_errors
from clapgen.errors import ClapgenError


@dataclass(frozen=True)
class Codes:
    """One sound as whole numbers.

    Attributes:
        tokens: (codebooks, frames) int64. The first codebook is the coarsest.
        samples: length of the sound at the codec's rate.
        scales: loudness by which each chunk of the sound was divided; None if the codec does not.
        chunks: frames of each chunk, for a codec that encodes a sound in overlapping pieces; one otherwise.
    """

    tokens: Tensor
    samples: int
    scales: Tensor | None = None
    chunks: tuple[int, ...] = ()


class Codec(ABC):
    """A neural codec: `encode` to `Codes`, `decode` to a waveform; deterministic.

    `name` and `hash` identify the weights, `sample_rate` is in Hz, `channels` 1 or 2, `frame_rate` frames a second of
    `codebooks` numbers below `codebook_size`. `bandwidths` are what it can encode at, in kbit/s, with fewer codebooks
    where they are lower.
    """

    model_type: ClassVar[str]  # in config.json
    channels = 1

    def __init__(self, name: str, folder: Path, device: torch.device) -> None:
        self.name, self.device = name, device
        with loading_errors(
            name, self.model_type, "It must be a folder or hub model with config.json and safetensors."
        ):
            if (found := model_type_of(folder)) != self.model_type:
                raise ValueError(f"its config.json is that of a model of type '{found}', not '{self.model_type}'.")
            self.hash = content_hash(folder)
            self.network = load_network(self._network_class(), folder).to(device)
        config = self.network.config
        self.sample_rate, self.codebook_size = config.sampling_rate, config.codebook_size
        self.hop = int(np.prod(config.upsampling_ratios))
        self.frame_rate = self.sample_rate / self.hop

    @property
    @abstractmethod
    def bandwidths(self) -> list[float]:
        """In kbit/s, ascending."""

    @property
    @abstractmethod
    def codebooks(self) -> int:
        """The number of codebooks at the highest bandwidth."""

    def encode(self, waveform: Any, sample_rate: int, bandwidth: float | None = None) -> Codes:
        """Encode one sound.

        Args:
            waveform: (samples,) or (channels, samples), at `sample_rate` Hz; resampled, and mixed or doubled to the
                codec's channels.
            bandwidth: one of `bandwidths`; None is the highest.

        Raises:
            ClapgenError: a bandwidth that it does not have, or a waveform that is empty or not finite.
        """
        samples = self._prepared(waveform, sample_rate)
        with inference(self.network):
            return self._encode(samples[None].to(self.device), self._bandwidth(bandwidth))

    def decode(self, codes: Codes) -> Tensor:
        """The waveform (channels, samples) of codes, at `sample_rate`: float32, on the CPU.

        Raises:
            ClapgenError: numbers out of range, or more codebooks than it has.
        """
        tokens = codes.tokens
        if tokens.ndim != 2 or not 1 <= len(tokens) <= self.codebooks or not tokens.numel():
            raise ClapgenError(
                f"codes must have the shape (codebooks, frames) with 1 to {self.codebooks} codebooks, not "
                f"{tuple(tokens.shape)}"
            )
        if tokens.min() < 0 or tokens.max() >= self.codebook_size:
            raise ClapgenError(f"codes of {self.name} must be from 0 to {self.codebook_size - 1}")
        with inference(self.network):
            waveform = self._decode(codes).float().cpu()[..., : codes.samples]
            return torch.nn.functional.pad(waveform, (0, codes.samples - waveform.shape[-1]))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config.json and safetensors as transformers expects them."""
        self.network.save_pretrained(folder)

    def _bandwidth(self, wanted: float | None) -> float:
        if wanted is None:
            return self.bandwidths[-1]
        nearest = min(self.bandwidths, key=lambda each: abs(each - wanted))
        if abs(nearest - wanted) > 0.005 * nearest + 0.005:
            choices = ", ".join(f"{each:g}" for each in self.bandwidths)
            raise ClapgenError(f"{self.name} has no bandwidth of {wanted:g} kbit/s; choose one of {choices}.")
        return nearest

    def _prepared(self, waveform: Any, sample_rate: int) -> Tensor:
        samples = as_float(waveform.detach().cpu() if hasattr(waveform, "detach") else waveform)
        rows = samples[None] if samples.ndim == 1 else samples
        if rows.ndim != 2 or not 1 <= len(rows) <= 2 or not rows.size:
            raise ClapgenError(f"a waveform must be (samples,) or (1 or 2 channels, samples), not {samples.shape}")
        refuse_impossible_samples(rows, "a waveform")
        if self.channels == 1:
            rows = rows.mean(0, keepdims=True)
        channels = [resample(np.ascontiguousarray(row), sample_rate, self.sample_rate) for row in rows]
        if not channels[0].size:
            raise ClapgenError(f"a waveform is too short: resampled to {self.sample_rate} Hz it is empty")
        return torch.from_numpy(np.stack(channels)).expand(self.channels, -1)

    @staticmethod
    @abstractmethod
    def _network_class() -> Any: ...

    @abstractmethod
    def _encode(self, samples: Tensor, bandwidth: float) -> Codes:
        """Codes of (1, channels, samples)."""

    @abstractmethod
    def _decode(self, codes: Codes) -> Tensor:
        """(channels, samples or a few more)."""
