"""The Descript Audio Codec (Kumar et al. 2023): 16, 24 and 44.1 kHz."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from clapgen.codecs.base import Codec, Codes


class Dac(Codec):
    """transformers' DacModel; fewer codebooks are a lower bandwidth."""

    model_type = "dac"

    @staticmethod
    def _network_class() -> Any:
        from transformers import DacModel

        return DacModel

    @property
    def bandwidths(self) -> list[float]:
        """In kbit/s, ascending: one for each number of codebooks."""
        per_codebook = self.frame_rate * math.log2(self.codebook_size) / 1000
        return [round(number * per_codebook, 2) for number in range(1, self.codebooks + 1)]

    @property
    def codebooks(self) -> int:
        """The number of codebooks at the highest bandwidth."""
        return self.network.config.n_codebooks

    def _encode(self, samples: Tensor, bandwidth: float) -> Codes:
        length = samples.shape[-1]
        padded = torch.nn.functional.pad(samples, (0, -length % self.hop))
        number = 1 + self.bandwidths.index(bandwidth)
        tokens = self.network.encode(padded, n_quantizers=number).audio_codes[0]
        return Codes(tokens.cpu(), length)

    def _decode(self, codes: Codes) -> Tensor:
        return self.network.decode(audio_codes=codes.tokens[None].to(self.device)).audio_values
