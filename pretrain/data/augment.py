"""Augmentation of log-mels (batch, n_mels, frames) in dB: gain, shifts, mixtures, filters, rooms, SpecAugment.

Powers of sounds that do not correlate add, so mixing log-mels is as good as mixing waveforms, and a hundred times
cheaper. All randomness comes from a `torch.Generator` on the CPU, so that a training step can be repeated exactly. Each
row of a batch has its own random values.
"""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

FLOOR_DB = -100.0  # of `LogMel`
DECIBEL = math.log(10) / 10
SLOPE_DB = 12.0  # of the low-pass, for each band


def add_power(first: Tensor, second: Tensor) -> Tensor:
    """The sum of two powers in dB."""
    return torch.logaddexp(first * DECIBEL, second * DECIBEL) / DECIBEL


def random_gain(log_mel: Tensor, generator: Generator, low_db: float = -12.0, high_db: float = 6.0) -> Tensor:
    """Add a random gain to each row."""
    return (log_mel + _uniform(log_mel, low_db, high_db, generator)).clamp(min=FLOOR_DB)


def random_roll(log_mel: Tensor, generator: Generator) -> Tensor:
    """Shift each row circularly by a random amount of time."""
    batch, time = log_mel.shape[0], log_mel.shape[-1]
    shift = torch.randint(time, (batch, *[1] * (log_mel.ndim - 1)), generator=generator)
    index = (torch.arange(time) - shift) % time
    return log_mel.gather(-1, index.expand_as(log_mel).to(log_mel.device))


def mix_at_snr(
    first: Tensor, second: Tensor, generator: Generator, low_db: float = -6.0, high_db: float = 6.0
) -> Tensor:
    """Add `second` to `first`, each pair at a random power ratio (dB of first to second).

    If either is silent, the other is not scaled.
    """
    ratio_db = _uniform(first, low_db, high_db, generator)
    level_first, level_second = (_level(x) for x in (first, second))
    silent = (level_first < FLOOR_DB + 30) | (level_second < FLOOR_DB + 30)
    gain = (level_first - level_second - ratio_db).masked_fill(silent, 0.0)
    return add_power(first, second + gain)


def random_speed(
    log_mel: Tensor, generator: Generator, frames: int, speed: tuple[float, float], bands: float
) -> Tensor:
    """Play each row at a random speed and shift it by up to `bands` mel bands: (batch, n_mels, `frames`).

    The shift and the speed are drawn independently, as in time stretching and pitch shifting. Bands beyond the edge
    repeat the edge.
    """
    batch, n_mels, available = log_mel.shape
    rate = speed[0] + (speed[1] - speed[0]) * torch.rand((batch, 1), generator=generator)
    shift = bands * (2 * torch.rand((batch, 1), generator=generator) - 1)
    room = (available - 1 - (frames - 1) * rate).clamp(min=0)
    start = room * torch.rand((batch, 1), generator=generator)
    time = (start + rate * torch.arange(frames)).clamp(max=available - 1)
    band = (torch.arange(n_mels) + shift).clamp(0, n_mels - 1)
    x = 2 * time / max(1, available - 1) - 1
    y = 2 * band / max(1, n_mels - 1) - 1
    grid = torch.stack([x[:, None, :].expand(-1, n_mels, -1), y[:, :, None].expand(-1, -1, frames)], -1)
    warped = F.grid_sample(log_mel[:, None], grid.to(log_mel), align_corners=True, padding_mode="border")
    return warped[:, 0]


def random_equaliser(log_mel: Tensor, generator: Generator, most_db: float, nodes: int = 4) -> Tensor:
    """Add a random smooth curve over the bands, within ±`most_db`, to each row (FilterAugment, arXiv 2110.03282)."""
    curve = most_db * (2 * torch.rand((len(log_mel), 1, nodes), generator=generator) - 1)
    smooth = F.interpolate(curve, log_mel.shape[1], mode="linear", align_corners=True)
    return (log_mel + smooth.transpose(1, 2).to(log_mel)).clamp(min=FLOOR_DB)


def random_room(log_mel: Tensor, generator: Generator, probability: float, longest: int = 40) -> Tensor:
    """Reverberation for a random share of the rows: an exponential tail of up to `longest` frames to -60 dB.

    The tail starts 0 to 12 dB below the direct sound.
    """
    chosen = torch.rand(len(log_mel), generator=generator) < probability
    decay_frames = 5 + (longest - 5) * torch.rand(len(log_mel), generator=generator)
    wet_db = -12 * torch.rand(len(log_mel), generator=generator)
    if not chosen.any():
        return log_mel
    return log_mel.index_put((chosen,), reverberated(log_mel[chosen], decay_frames[chosen], wet_db[chosen]))


def reverberated(log_mel: Tensor, decay_frames: Tensor, wet_db: Tensor) -> Tensor:
    """Each row with an exponential tail that falls by 60 dB in `decay_frames` (batch,), at `wet_db` (batch,)."""
    frames = log_mel.shape[-1]
    tail = 10 ** (-6 * torch.arange(frames) / decay_frames[:, None].clamp(min=1e-3))
    tail = tail / tail.sum(1, keepdim=True) * 10 ** (wet_db[:, None] / 10)
    tail[:, 0] += 1
    power = (log_mel * DECIBEL).exp()
    spectrum = torch.fft.rfft(power, 2 * frames) * torch.fft.rfft(tail, 2 * frames)[:, None]
    return 10 * torch.fft.irfft(spectrum, 2 * frames)[..., :frames].clamp(min=1e-10).log10()


def random_low_pass(log_mel: Tensor, generator: Generator, probability: float) -> Tensor:
    """Cut a random share of the rows off above a random band in the upper two thirds."""
    n_mels = log_mel.shape[1]
    chosen = torch.rand((len(log_mel), 1, 1), generator=generator) < probability
    cut = n_mels * (1 / 3 + 2 / 3 * torch.rand((len(log_mel), 1, 1), generator=generator))
    return torch.where(chosen, low_passed(log_mel, cut), log_mel)


def low_passed(log_mel: Tensor, cut: Tensor) -> Tensor:
    """Bands above `cut` (broadcast to (batch, 1, 1)) fall by 12 dB each, by 60 dB at most."""
    above = (torch.arange(log_mel.shape[1])[:, None] - cut).clamp(min=0)
    return (log_mel - (SLOPE_DB * above).clamp(max=60.0)).clamp(min=FLOOR_DB)


def random_noise(log_mel: Tensor, generator: Generator, probability: float, low_db: float, high_db: float) -> Tensor:
    """Stationary noise with a random tilt in a random share of the rows, at a random power ratio of sound to noise."""
    shape = (len(log_mel), 1, 1)
    chosen = torch.rand(shape, generator=generator) < probability
    ratio = low_db + (high_db - low_db) * torch.rand(shape, generator=generator)
    tilt = 30 * (torch.rand(shape, generator=generator) - 0.5) * torch.linspace(-1, 1, log_mel.shape[1])[:, None]
    ripple = torch.randn(log_mel.shape, generator=generator)  # power of noise fluctuates in each cell
    noise = _level(log_mel) - ratio + tilt + ripple
    return torch.where(chosen, add_power(log_mel, noise), log_mel)


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


def _level(log_mel: Tensor) -> Tensor:
    """Mean power of each row in dB: (batch, 1, 1)."""
    return torch.logsumexp(log_mel * DECIBEL, (1, 2), keepdim=True) / DECIBEL - 10 * math.log10(log_mel[0].numel())


def _uniform(like: Tensor, low: float, high: float, generator: Generator) -> Tensor:
    """One random value for each row: (batch, 1, 1)."""
    return (low + (high - low) * torch.rand((like.shape[0], 1, 1), generator=generator)).to(like)
