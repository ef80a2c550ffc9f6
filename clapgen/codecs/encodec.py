"""EnCodec (Défossez et al. 2022): 24 kHz, 32 kHz (MusicGen's) and stereo 48 kHz."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from clapgen.codecs.base import Codec, Codes


class Encodec(Codec):
    """transformers' EncodecModel. The 48 kHz model encodes chunks of a second, each divided by its loudness."""

    model_type = "encodec"

    @staticmethod
    def _network_class() -> Any:
        from transformers import EncodecModel

        return EncodecModel

    @property
    def channels(self) -> int:  # type: ignore[override]
        """1, or 2 at 48 kHz."""
        return self.network.config.audio_channels

    @property
    def bandwidths(self) -> list[float]:
        """In kbit/s, ascending: 1.5 to 24 at 24 kHz."""
        return sorted(map(float, self.network.config.target_bandwidths))

    @property
    def codebooks(self) -> int:
        """The number of codebooks at the highest bandwidth."""
        return self.network.quantizer.get_num_quantizers_for_bandwidth(self.bandwidths[-1])

    def _encode(self, samples: Tensor, bandwidth: float) -> Codes:
        encoded = self.network.encode(samples, bandwidth=bandwidth)
        frames = encoded.audio_codes[:, 0]  # (chunks, codebooks, frames)
        lengths = [frames.shape[-1]] * len(frames)
        lengths[-1] -= int(encoded.last_frame_pad_length or 0)
        tokens = torch.cat([chunk[:, :length] for chunk, length in zip(frames, lengths, strict=True)], dim=-1)
        scales = None if encoded.audio_scales[0] is None else torch.cat(list(encoded.audio_scales)).flatten().cpu()
        return Codes(tokens.cpu(), samples.shape[-1], scales, tuple(lengths))

    def _decode(self, codes: Codes) -> Tensor:
        lengths = codes.chunks or (codes.tokens.shape[-1],)
        pieces = codes.tokens.to(self.device).split(lengths, dim=-1)
        missing = lengths[0] - lengths[-1]
        frames = torch.stack([*pieces[:-1], torch.nn.functional.pad(pieces[-1], (0, missing))])[:, None]
        scales = [None] * len(pieces) if codes.scales is None else list(codes.scales.to(self.device)[:, None])
        return self.network.decode(frames, scales, last_frame_pad_length=missing).audio_values[0]
