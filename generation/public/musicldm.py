"""MusicLDM (Chen et al. 2024): AudioLDM's networks, conditioned on a CLAP that is whole inside the checkpoint."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from generation.public.audioldm import AudioLdm
from generation.public.own_clap import OwnClap
from generation.ranking import Scores


class MusicLdm(AudioLdm):
    """`ucsd-reach/musicldm`. Its CLAP ranks candidates."""

    def _load_text(self, folder: Path) -> None:
        self.clap = OwnClap(folder, self.device)
        self.tokenizer = self.clap.tokenizer
        self.networks = [self.clap.network]

    def embed_text(self, text: str) -> Tensor:
        """(1, dim), of length 1."""
        return self.clap.embed_text(text)

    def own_ranker(self) -> Scores:
        """The CLAP of the checkpoint."""
        return self.clap
