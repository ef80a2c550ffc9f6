"""Degenerate outputs, which no score is meaningful for: silent, constant, noise, identical or copied sounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from clapgen.audio.silence import SILENCE_DBFS
from clapgen.metrics.embeddings.base import Embeddings, row_blocks, unit_length
from clapgen.metrics.embeddings.prdc import novelty

Defect = Literal["silent", "constant", "noise"]

NOISE_FLATNESS = 0.95  # of the mean spectrum; wind and rain are coloured noise and stay below
COPY_COSINE = 0.98
_STEADY_DB = 2.0  # a click has a flat spectrum too, but is not steady
_FRAME = 512
_FEWEST_FRAMES = 16  # with fewer, the mean spectrum of noise is not flat

_SENTENCES: dict[Defect, str] = {
    "silent": f"silent (peak below {SILENCE_DBFS:g} dBFS); their scores are not meaningful",
    "constant": f"constant (an offset, below {SILENCE_DBFS:g} dBFS without it); their scores are not meaningful",
    "noise": f"steady white noise (spectral flatness above {NOISE_FLATNESS:g}); their scores are not meaningful",
}


@dataclass(frozen=True)
class DegenerateOutputs:
    """The generated sounds, of `count`, that share a defect: their indices `items`, and a sentence about them."""

    name: str
    items: tuple[int, ...]
    count: int
    sentence: str


def waveform_defect(waveform: npt.ArrayLike) -> Defect | None:
    """Whether a waveform (samples,) in [-1, 1] is silent, constant or steady white noise; None if none of these.

    silent: no sample reaches −60 dBFS. constant: no sample does after the mean is subtracted. noise: the mean power
    spectrum is flat (geometric over arithmetic mean above 0.95) and the level is steady. Waveforms shorter than about
    8,200 samples are never classified as noise.
    """
    samples = np.asarray(waveform, dtype=np.float64)
    limit = 10 ** (SILENCE_DBFS / 20)
    if np.abs(samples).max(initial=0.0) < limit:
        return "silent"
    samples = samples - samples.mean()
    if np.abs(samples).max() < limit:
        return "constant"
    return "noise" if _is_white_noise(samples) else None


def spectral_flatness(waveform: npt.ArrayLike) -> float:
    """Geometric over arithmetic mean of the mean power spectrum of (samples,), 0 (a tone) to 1 (white noise).

    Only of the lower two thirds of the spectrum, since many files lack the rest.
    """
    samples = np.asarray(waveform, dtype=np.float64)
    frames = len(samples) // _FRAME
    if not frames:
        return 0.0
    table = samples[: frames * _FRAME].reshape(frames, _FRAME) * np.hanning(_FRAME)
    spectrum = np.square(np.abs(np.fft.rfft(table))).mean(0)
    power = spectrum[
        2 : 2 * len(spectrum) // 3
    ]  # without the offset, and without the band that codecs and resamplers remove
    floor = np.finfo(np.float64).tiny
    return float(np.exp(np.log(np.maximum(power, floor)).mean()) / max(power.mean(), floor))


def degenerate_waveforms(defects: Sequence[Defect | None]) -> list[DegenerateOutputs]:
    """A group for each defect that occurs; `defects` are the results of `waveform_defect`, in order."""
    groups = []
    for defect, reason in _SENTENCES.items():
        items = tuple(index for index, found in enumerate(defects) if found == defect)
        if items:
            groups.append(_group(defect, items, len(defects), reason))
    return groups


def degenerate_embeddings(
    generated: Embeddings, reference: Embeddings | None = None, *, threshold: float = COPY_COSINE
) -> list[DegenerateOutputs]:
    """Generated sounds that are nearly identical to at least half of the others, or to a reference, by cosine.

    At least half, because a few near-duplicates are normal: real clips are often cut from the same recording.

    Args:
        generated: embeddings (n, dim).
        reference: embeddings (m, dim); without them, copies are not looked for.
        threshold: cosine from which two sounds count as the same, −1 to 1.

    Raises:
        ClapgenError: no items, different widths, NaN, an embedding of zeros.
    """
    points = unit_length(generated, "generated embeddings")
    groups = []
    alike = np.flatnonzero(_share_alike(points, threshold) >= 0.5)
    if len(alike):
        reason = f"nearly identical to at least half of the others (cosine {threshold:g} or more): no variety"
        groups.append(_group("identical", tuple(alike.tolist()), len(points), reason))
    if reference is not None:
        copies = np.flatnonzero(novelty(points, reference).similarities >= threshold)
        if len(copies):
            reason = f"nearly identical to a reference (cosine {threshold:g} or more): copies"
            groups.append(_group("copied", tuple(copies.tolist()), len(points), reason))
    return groups


def _is_white_noise(samples: npt.NDArray[np.float64]) -> bool:
    frames = len(samples) // _FRAME
    if frames < _FEWEST_FRAMES:
        return False
    power = np.square(samples[: frames * _FRAME].reshape(frames, _FRAME)).mean(1)
    if power.min() <= 0 or (10 * np.log10(power)).std() > _STEADY_DB:
        return False
    return spectral_flatness(samples) > NOISE_FLATNESS


def _share_alike(points: npt.NDArray[np.float64], threshold: float) -> npt.NDArray[np.float64]:
    """(n,): the share of other points whose cosine with each point is at least the threshold."""
    if len(points) < 2:
        return np.zeros(len(points))
    near = np.concatenate(
        [(points[rows] @ points.T >= threshold).sum(1) for rows in row_blocks(len(points), len(points))]
    )
    return (near - 1) / (len(points) - 1)  # without itself


def _group(name: str, items: tuple[int, ...], count: int, reason: str) -> DegenerateOutputs:
    subject = f"{len(items)} of {count} generated sounds {'is' if len(items) == 1 else 'are'}"
    return DegenerateOutputs(name, items, count, f"{subject} {reason}")
