"""Augmentation of waveforms and log-mels: crops, padding, gain, shifts, mixtures, SpecAugment.

All randomness comes from a `torch.Generator` on the CPU, so that a training step can be repeated exactly. Each row of a
batch has its own random values.
"""

import torch
from torch import Generator, Tensor

from clapgen.audio.windows import repeat_pad
from clapgen.data.audio_cache import AudioCache


def crop_start(length: int, window: int, generator: Generator | None) -> int:
    """Start of a window of `window` samples in a clip of `length`: random, or centred without a generator."""
    spare = max(0, length - window)
    if generator is None:
        return spare // 2
    return int(torch.randint(spare + 1, (), generator=generator))


def batch_of_crops(cache: AudioCache, indices: list[int], length: int, generator: Generator | None = None) -> Tensor:
    """Clips of a cache as `(batch, length)` float32: long ones cropped, short ones repeated and zero-padded.

    Crops are random, or centred without a generator. Only the crop is read from disk.
    """
    rows = []
    for index in indices:
        start = crop_start(int(cache.lengths[index]), length, generator)
        rows.append(repeat_pad(torch.from_numpy(cache.crop(index, start, length)), length))
    return torch.stack(rows)


def random_gain(waveforms: Tensor, generator: Generator, low_db: float = -6.0, high_db: float = 6.0) -> Tensor:
    """Scale each row of `(batch, samples)` by a random gain, uniform in dB, without clipping."""
    gain_db = _uniform(waveforms, low_db, high_db, generator)
    return waveforms * 10 ** (gain_db / 20)


def random_roll(signals: Tensor, generator: Generator) -> Tensor:
    """Shift each row of `(batch, …, time)`, waveforms or log-mels, circularly by a random amount of time.

    Rolling log-mels is a hundred times cheaper.
    """
    batch, time = signals.shape[0], signals.shape[-1]
    shift = torch.randint(time, (batch, *[1] * (signals.ndim - 1)), generator=generator)
    index = (torch.arange(time) - shift) % time
    return signals.gather(-1, index.expand_as(signals).to(signals.device))


def mix_at_snr(
    first: Tensor, second: Tensor, generator: Generator, low_db: float = -5.0, high_db: float = 5.0
) -> Tensor:
    """Add `second` to `first`, both `(batch, samples)`, each pair at a random power ratio (dB of first to second).

    If either is silent, the other is not scaled. Mixtures that exceed [-1, 1] are scaled down.
    """
    ratio_db = _uniform(first, low_db, high_db, generator)
    power_first, power_second = (x.square().mean(-1, keepdim=True) for x in (first, second))
    scale = (power_first / power_second.clamp_min(1e-12)).sqrt() * 10 ** (-ratio_db / 20)
    silent = (power_first < 1e-12) | (power_second < 1e-12)
    mixture = first + second * scale.masked_fill(silent, 1.0)
    return mixture / mixture.abs().amax(-1, keepdim=True).clamp_min(1.0)


def spec_augment(
    log_mel: Tensor,
    generator: Generator,
    time_masks: int = 2,
    time_width: int = 64,
    frequency_masks: int = 2,
    frequency_width: int = 16,
) -> Tensor:
    """Replace random stripes of `(batch, n_mels, frames)` dB by the mean of their row (SpecAugment, arXiv 1904.08779).

    Each mask is 0 to `*_width` bins wide, and at most half of its axis.
    """
    batch, n_mels, frames = log_mel.shape
    hidden = _stripes(batch, frames, time_masks, time_width, generator)[:, None, :]
    hidden = hidden | _stripes(batch, n_mels, frequency_masks, frequency_width, generator)[:, :, None]
    return torch.where(hidden.to(log_mel.device), log_mel.mean((1, 2), keepdim=True), log_mel)


def _stripes(batch: int, size: int, count: int, max_width: int, generator: Generator) -> Tensor:
    """Mask `(batch, size)`, true inside any of `count` random stripes."""
    width = torch.randint(min(max_width, size // 2) + 1, (batch, count, 1), generator=generator)
    start = (torch.rand((batch, count, 1), generator=generator) * (size - width + 1)).long()
    position = torch.arange(size)
    return ((position >= start) & (position < start + width)).any(1)


def _uniform(like: Tensor, low: float, high: float, generator: Generator) -> Tensor:
    """One random value for each row: `(batch, 1)` on the device of `like`."""
    return (low + (high - low) * torch.rand((like.shape[0], 1), generator=generator)).to(like)
