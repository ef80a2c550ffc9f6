"""What neighbours change in generation: the condition, what the network looks at, and where the solver starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from clapgen.audio import read_audio
from clapgen.errors import ClapgenError
from generation.diffusion.context import Neighbours, pooled
from generation.diffusion.model import NOT_TRAINED
from generation.retrieval import Neighbour
from generation.sources import checked_source

if TYPE_CHECKING:
    from generation.pipeline import TextToAudio


@dataclass
class Help:
    """What neighbours change.

    Attributes:
        condition: (prompts, condition_dim).
        context: what the network looks at, for a batch of one; None for nothing.
        latents: (latent_dim, frames) of each neighbour that the solver may start from.
        start: time at which it starts from them; 1 is pure noise.
    """

    condition: Tensor
    context: Neighbours | None = None
    latents: list[Tensor] = field(default_factory=list)
    start: float = 1.0

    def context_of(self, batch: int) -> Neighbours | None:
        """The same neighbours for each item of a batch."""
        return self.context and self.context.map(lambda tensor: tensor.expand(batch, *tensor.shape[1:]))

    def started(self, noise: Tensor, seeds: Sequence[int]) -> Tensor:
        """Noise (batch, latent_dim, frames) laid over the latents of a neighbour, which one the seeds decide."""
        if not self.latents:
            return noise
        known = torch.stack([self.latents[seed % len(self.latents)] for seed in seeds])
        return torch.lerp(known, noise, self.start)


def help_of(model: TextToAudio, condition: Tensor, settings: Mapping[str, Any]) -> Help:
    """What the neighbours in the settings of `TextToAudio.generate` change.

    Raises:
        ClapgenError: a file is gone, or is not the one that was found; the model was not trained with neighbours, and
            none of the ways that need no training is chosen.
    """
    if not settings["neighbours"]:
        return Help(condition)
    attends = model.network.config.context_layers > 0 and settings["neighbour_scale"] > 0
    blend, start = settings["neighbour_blend"], settings["neighbour_strength"]
    if not attends and not blend and start == 1.0:
        raise ClapgenError(NOT_TRAINED)
    audio, text, encoded = _loaded(model, settings["neighbours"])
    helped = Help(condition, start=start)
    if blend:
        middle = F.normalize(audio.mean(0), dim=0).to(condition)
        helped.condition = F.normalize((1 - blend) * condition + blend * middle, dim=1)
    if attends:
        quarters = torch.stack([pooled(latents.T) for latents in encoded])
        mask = torch.ones(1, len(encoded), dtype=torch.bool)
        helped.context = Neighbours(audio[None], text[None], quarters[None], mask).map(
            lambda tensor: tensor.to(model.device)
        )
    if start < 1:
        frames = model.autoencoder.frames_for(settings["seconds"])
        helped.latents = [latents.repeat(1, -(-frames // latents.shape[1]))[:, :frames] for latents in encoded]
    return helped


def _loaded(model: TextToAudio, neighbours: Sequence[Neighbour]) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Embeddings of the sounds and of their captions (neighbours, dim), zeros without one; latents of each.

    One by one, so that a neighbour is the same in any company.
    """
    clap, longest = model.clap, model.network.config.window_seconds
    waveforms = [_waveform(each, model.sample_rate, longest) for each in neighbours]
    audio = torch.cat([clap.embed_audio([waveform], model.sample_rate) for waveform in waveforms])
    none = torch.zeros(1, clap.dim)
    text = torch.cat([clap.embed_text([each.caption]) if each.caption else none for each in neighbours])
    with torch.no_grad():
        inputs = (torch.from_numpy(waveform)[None].to(model.device) for waveform in waveforms)
        return audio, text, [model.autoencoder.encode(waveform)[0].float() for waveform in inputs]


def _waveform(neighbour: Neighbour, sample_rate: int, longest: float) -> NDArray[np.float32]:
    path = checked_source(neighbour.path, neighbour.sha256, "the neighbour")
    waveform, _ = read_audio(path, sample_rate)
    start = round(neighbour.start * sample_rate)
    end = len(waveform) if neighbour.end is None else round(neighbour.end * sample_rate)
    part = waveform[start : min(end, start + round(longest * sample_rate))]
    if not len(part):
        raise ClapgenError(f"the neighbour {path} has nothing from {neighbour.start:g} s on; it is shorter.")
    return np.ascontiguousarray(part)
