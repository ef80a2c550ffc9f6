"""Editing a sound with the diffusion model: start from its latents, or keep a part of them (AudioLDM, Liu et al. 2023).

What an edit keeps of a sound are its own samples. What is made anew is laid over them with short crossfades.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clapgen.audio import read_audio
from clapgen.audio.silence import silence_of
from clapgen.errors import ClapgenError
from generation.edits import Edit
from generation.sources import checked_source

if TYPE_CHECKING:
    from generation.pipeline import TextToAudio

Waveform = NDArray[np.float32]

CROSSFADE = 0.02  # seconds, inside of what is made anew
SHORTEST_MADE = 0.5  # seconds
CROSSOVER = 0.1  # width of the crossover of upsample, as a share of its frequency


@dataclass
class Editing:
    """An edit of a sound, ready to be made.

    Attributes:
        source: the whole sound (samples,) at the model's rate; start: first sample of the part that is worked on.
        part: that part (samples,), silent where something is added.
        made: (samples,) of the part, from 0 (the sound itself) to 1 (made anew).
        known: latents (1, latent_dim, frames) of the part.
        mask: (frames,), true where the solver is free; None for everywhere.
        begin: time at which the solver starts from the latents; 1 is pure noise.
        condition: CLAP embedding (1, dim) of the sound, if that is the condition.
    """

    edit: Edit
    source: Waveform
    start: int
    part: Waveform
    made: Waveform
    known: Tensor
    mask: Tensor | None
    begin: float
    sample_rate: int
    condition: Tensor | None = None

    @property
    def seconds(self) -> float:
        """Length of the part that is worked on."""
        return max(SHORTEST_MADE, len(self.part) / self.sample_rate)

    def started(self, noise: Tensor) -> Tensor:
        """Where the solver starts: the latents under noise (batch, latent_dim, frames)."""
        if self.mask is not None:
            return noise
        return torch.lerp(self.known.to(noise).expand_as(noise), noise, self.begin)

    def finished(self, made: Waveform) -> Waveform:
        """The whole sound with what was made (samples,) in its place."""
        made = np.pad(made, (0, max(0, len(self.part) - len(made))))[: len(self.part)]
        made = made / max(1.0, float(np.abs(made).max(initial=0.0)))  # else the whole sound would be turned down
        if self.edit.kind == "upsample":
            part = crossed_over(self.part, made, self.sample_rate, self.edit.above)
        else:
            part = self.part + self.made * (made - self.part)
        if self.edit.kind == "loop":
            part = np.roll(part, len(part) // 2)
        added = round(self.edit.before * self.sample_rate) + round(self.edit.after * self.sample_rate)
        rest = self.source[self.start + len(part) - added :]
        return np.concatenate([self.source[: self.start], part, rest]).astype(np.float32)


def start_editing(model: TextToAudio, edit: Edit) -> Editing:
    """Read the sound of an edit and encode the part that is worked on.

    Raises:
        ClapgenError: the file is gone or has changed, cannot be read or is silent; the edit does not fit it.
    """
    path, rate = checked_source(edit.path, edit.sha256, "the sound"), model.sample_rate
    source, _ = read_audio(path, rate)
    if edit.kind == "upsample" and edit.above >= rate / 2:
        raise ClapgenError(f"the model makes sound up to {rate / 2:g} Hz; there is nothing above {edit.above:g} Hz.")
    first, last = (round(seconds * rate) for seconds in edit.span(len(source) / rate))
    part = source[first:last]
    if note := silence_of(part):
        raise ClapgenError(f"{path}: {note}; there is nothing to edit.")
    before, after = (round(seconds * rate) for seconds in (edit.before, edit.after))
    part = np.pad(part, (before, after)).astype(np.float32)
    if edit.kind == "loop":
        part = np.roll(part, -(len(part) // 2))
    frames = model.autoencoder.frames_for(max(SHORTEST_MADE, len(part) / rate))
    padded = np.pad(part, (0, max(0, frames * model.autoencoder.hop_length - len(part))))
    with torch.no_grad():
        waveform = torch.from_numpy(padded)[None].to(model.device)
        known = model.autoencoder.encode(waveform)[..., :frames].float()
    spans = _made_anew(edit, first, len(part), rate)
    editing = Editing(
        edit, source, first, part, _weights(spans, len(part), rate), known, _mask(spans, len(part), frames, model),
        edit.strength, rate,
    )  # fmt: skip
    if edit.like:
        editing.condition = model.clap.embed_audio([source[first:last]], rate).to(model.device)
    return editing


def _made_anew(edit: Edit, first: int, length: int, rate: int) -> list[tuple[int, int]] | None:
    """Samples of the part that are made anew, from and to; None for all of them."""
    if edit.kind == "fill":
        return [(round(start * rate) - first, min(length, round(end * rate) - first)) for start, end in edit.regions]
    if edit.kind == "extend":
        before, after = round(edit.before * rate), round(edit.after * rate)
        fade = round(CROSSFADE * rate)  # the crossfade lies over the sound itself
        ends = [(0, min(length, before + fade))] if before else []
        return ends + ([(max(0, length - after - fade), length)] if after else [])
    if edit.kind == "loop":
        half = round(edit.joint * rate) // 2
        # the joint is in the middle of the rolled sound
        middle = length - length // 2
        return [(max(0, middle - half), min(length, middle + half))]
    return None


def _weights(spans: list[tuple[int, int]] | None, length: int, rate: int) -> Waveform:
    """1 inside the spans, 0 outside, with crossfades inside of their ends; none at the ends of the part."""
    if spans is None:
        return np.ones(length, dtype=np.float32)
    weights = np.zeros(length, dtype=np.float32)
    for start, end in spans:
        inside = np.ones(end - start, dtype=np.float32)
        fade = min(round(CROSSFADE * rate), (end - start) // 2)
        ramp = ((np.arange(fade) + 0.5) / max(1, fade)).astype(np.float32)
        if start > 0:
            inside[:fade] *= ramp
        if end < length:
            inside[len(inside) - fade :] *= ramp[::-1]
        weights[start:end] = np.maximum(weights[start:end], inside)
    return weights


def _mask(spans: list[tuple[int, int]] | None, length: int, frames: int, model: TextToAudio) -> Tensor | None:
    """Frames that touch the spans, and the padding of a short part."""
    if spans is None:
        return None
    hop = model.autoencoder.hop_length
    mask = torch.zeros(frames, dtype=torch.bool)
    for start, end in spans:
        mask[start // hop : -(-end // hop)] = True
    mask[-(-length // hop) :] = True
    return mask.to(model.device)


def crossed_over(low: Waveform, high: Waveform, sample_rate: int, frequency: float) -> Waveform:
    """What lies below a frequency (Hz) of one sound and above it of the other, both (samples,), without phase shift.

    The other is brought to the level that makes both equally loud below that frequency, if it has anything there.
    """
    size = len(low)
    bins = np.fft.rfftfreq(size, 1 / sample_rate)
    position = np.clip((bins - frequency) / (CROSSOVER * frequency), 0, 1)
    share = 0.5 - 0.5 * np.cos(np.pi * position)
    kept, made = np.fft.rfft(low.astype(np.float64)), np.fft.rfft(high.astype(np.float64))
    levels = [float(np.square(np.abs(each[bins < frequency])).sum()) for each in (kept, made)]
    gain = (levels[0] / levels[1]) ** 0.5 if min(levels) > 1e-6 * max(levels) else 1.0
    return np.fft.irfft(kept * (1 - share) + gain * made * share, size).astype(np.float32)
