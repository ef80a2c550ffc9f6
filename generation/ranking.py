"""Candidates ranked per prompt by a CLAP: of each prompt's own sounds, the one with the best score for that prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clapgen.audio.mastering import peak_dbfs
from generation.generator import Generation

if TYPE_CHECKING:
    import torch

    from clapgen.embedders import ClapEmbedder

Waveform = NDArray[np.float32]
Scores = Callable[[str, Sequence[Waveform], int], list[float]]  # of waveforms (samples,) at a rate, for a prompt


class ClapRanker:
    """Scores sounds by the cosine of a CLAP. The embedding of the last prompt is kept."""

    def __init__(self, clap: ClapEmbedder) -> None:
        self.clap = clap
        self._last: tuple[str, torch.Tensor] | None = None

    @classmethod
    def by_name(cls, name: str, device: str | torch.device = "cpu") -> ClapRanker:
        """With any CLAP by name; see `clapgen.embedders.load_clap`, whose errors it raises."""
        from clapgen.embedders import load_clap

        return cls(load_clap(name, device))

    def __call__(self, prompt: str, waveforms: Sequence[Waveform], sample_rate: int) -> list[float]:
        """The cosine of each waveform (samples,) and the prompt. One by one, so that company changes no score."""
        import torch
        from torch.nn import functional as F

        if self._last is None or self._last[0] != prompt:
            self._last = prompt, F.normalize(self.clap.embed_text([prompt]).float().cpu(), dim=-1)
        audio = torch.cat([self.clap.embed_audio([waveform], sample_rate) for waveform in waveforms])
        return (F.normalize(audio.float().cpu(), dim=-1) @ self._last[1][0]).tolist()


def best_of(
    prompts: Sequence[str],
    seeds: Sequence[int],
    waveforms: Sequence[Waveform],
    sample_rate: int,
    scores: Scores,
    gains: Sequence[float] | None = None,
) -> list[Generation]:
    """The best candidate of each prompt.

    Args:
        seeds, waveforms: one per candidate, those of the first prompt first, as many for each prompt.
        gains: dB that mastering added to each waveform; none if None.
    """
    candidates = len(waveforms) // max(1, len(prompts))
    results = []
    for row, prompt in enumerate(prompts):
        first = row * candidates
        own = waveforms[first : first + candidates]
        found = scores(prompt, own, sample_rate)
        best = max(range(candidates), key=found.__getitem__)
        gain = gains[first + best] if gains else 0.0
        results.append(
            Generation(
                own[best], sample_rate, prompt, seeds[first + best], found[best], found,
                decoder_peak=peak_dbfs(own[best]) - gain, gain=gain,
            )
        )  # fmt: skip
    return results
