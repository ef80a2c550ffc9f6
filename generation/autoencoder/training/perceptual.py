"""A perceptual loss: the distance of a sound and its reconstruction in the features of a frozen CLAP."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clapgen.clap import Clap
from clapgen.clap.audio_tower import ResidualTower, frames_of_map, pool_frames
from clapgen.errors import ClapgenError


class ClapPerceptualLoss(nn.Module):
    """Distance of a CLAP's feature maps, normalised over channels, and of its embeddings.

    The counterpart of LPIPS (Zhang et al. 2018, arXiv:1801.03924) for sound: spectral distances weigh all bins equally,
    the features of a CLAP weigh what distinguishes sounds. Its weights are not trained.
    """

    def __init__(self, clap: Clap) -> None:
        super().__init__()
        if not isinstance(clap.audio_tower, ResidualTower):
            raise ClapgenError(
                "the perceptual loss needs a CLAP with a residual audio tower; set loss.clap_model to one"
            )
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
        assert isinstance(tower, ResidualTower)  # checked in __init__
        maps = tower.feature_maps(tower.log_mel(waveform))
        embedding = self.clap.audio_projection(pool_frames(frames_of_map(maps[-1])))
        return [feature_map.float() for feature_map in maps], F.normalize(embedding.float(), dim=1)
