"""A perceptual loss: how differently a frozen CLAP hears a sound and its reconstruction."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clapgen.clap import Clap


class ClapPerceptualLoss(nn.Module):
    """Distance of a CLAP's feature maps, channel by channel of unit length, and of its embeddings.

    What LPIPS (Zhang et al. 2018, arXiv:1801.03924) is to pictures: spectral distances weigh every bin alike, a network
    that tells sounds apart weighs what makes them different. Its weights stay as they are.
    """

    def __init__(self, clap: Clap) -> None:
        super().__init__()
        self.clap = clap.eval().requires_grad_(False)

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """Scalar, 0 for equal sounds; `real` and `fake` (batch, samples) at the CLAP's sample rate."""
        with torch.no_grad():
            real_maps, real_embedding = self._hear(real)
        fake_maps, fake_embedding = self._hear(fake)
        pairs = zip(real_maps, fake_maps, strict=True)
        distances = [(F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean() for a, b in pairs]
        return torch.stack(distances).mean() + (1 - (real_embedding * fake_embedding).sum(1)).mean()

    def _hear(self, waveform: Tensor) -> tuple[list[Tensor], Tensor]:
        tower = self.clap.audio_tower
        x = tower.stem(tower.input_norm(tower.log_mel(waveform)).unsqueeze(1))
        maps = []
        for block in tower.blocks:
            x = block(x)
            maps.append(x.float())
        frames = x.mean(2).transpose(1, 2)
        embedding = self.clap.audio_projection(frames.mean(1) + frames.amax(1))
        return maps, F.normalize(embedding.float(), dim=1)
