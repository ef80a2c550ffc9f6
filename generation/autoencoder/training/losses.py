"""Losses of the autoencoder: an energy distance of spectra at several resolutions, a KL term, and adversarial losses.

The decoder adds noise, so one sound has many reconstructions. A plain L1 would make all of them the dull median. The
energy distance E|x - y| - E|y - y'| / 2 over two draws y, y' is smallest if their distribution is that of the data
(Gritsenko et al. 2020, arXiv:2008.01160): textures stay rough without an adversary.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clapgen.audio.mel import mel_filters


class SpectralDistance(nn.Module):
    """Distance of waveforms at one resolution: log-magnitude, linear magnitude and log-mel, each an L1.

    Magnitudes are normalised so that a full-scale sine is about 0.5; magnitudes below `floor` are ignored.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, sample_rate: int, n_fft: int, n_mels: int, floor: float = 3e-5) -> None:
        super().__init__()
        self.n_fft, self.floor = n_fft, floor
        window = torch.hann_window(n_fft)
        self.register_buffer("window", window / window.sum(), persistent=False)
        filters = torch.from_numpy(mel_filters(sample_rate, n_fft, n_mels, 0.0, sample_rate / 2)).float()
        filters = filters / filters.sum(1, keepdim=True).clamp(min=1e-8)  # mean over the band: the scale of a bin
        self.register_buffer("filters", filters.T.contiguous(), persistent=False)

    def features(self, waveform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-magnitude and magnitude `(…, frames, bins)`, log-mel `(…, frames, n_mels)` of `(…, samples)`."""
        padded = F.pad(waveform, (self.n_fft // 2, self.n_fft // 2))
        frames = padded.unfold(-1, self.n_fft, 3 * self.n_fft // 8) * self.window
        spectrum = RealFFT.apply(frames)
        power = spectrum.real.square() + spectrum.imag.square() + self.floor**2
        return 0.5 * power.log(), power.sqrt(), 0.5 * (power @ self.filters).log()

    def forward(self, target: Tensor, draws: Tensor) -> dict[str, Tensor]:
        """Energy distance of `target` `(batch, samples)` and two `draws` `(2, batch, samples)`, per kind of feature."""
        target_features, drawn_features = self.features(target), self.features(draws)
        loudness = target_features[1].mean((-2, -1), keepdim=True)
        scales: tuple[Tensor | float, ...] = (1.0, 1 / loudness, 1.0)
        names = ("log_magnitude", "magnitude", "log_mel")
        return {
            name: energy_distance(x * scale, y * scale)
            for name, x, y, scale in zip(names, target_features, drawn_features, scales, strict=True)
        }


class RealFFT(torch.autograd.Function):
    """`torch.fft.rfft` whose gradient is a real inverse transform: torch's own is complex and several times slower."""

    @staticmethod
    def forward(ctx: Any, frames: Tensor) -> Tensor:
        return torch.fft.rfft(frames)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0]
        size = 2 * (gradient.shape[-1] - 1)
        # irfft counts all bins but the first and last twice; the adjoint of the transform counts each once
        halves = torch.full((gradient.shape[-1],), 0.5, device=gradient.device)
        halves[0] = halves[-1] = 1
        return torch.fft.irfft(gradient * halves, n=size, norm="forward")


def energy_distance(target: Tensor, draws: Tensor) -> Tensor:
    """E|x - y| - E|y - y'| / 2, mean over elements; `draws` `(2, *target.shape)` are independent given the target."""
    return (draws - target).abs().mean() - 0.5 * (draws[0] - draws[1]).abs().mean()


class MultiResolutionLoss(nn.Module):
    """Mean of `SpectralDistance` over window lengths in samples."""

    def __init__(self, sample_rate: int, windows: list[int]) -> None:
        super().__init__()
        self.resolutions = nn.ModuleList(
            SpectralDistance(sample_rate, n_fft, n_mels=max(8, min(128, n_fft // 16))) for n_fft in windows
        )

    def forward(self, target: Tensor, draws: Tensor) -> dict[str, Tensor]:
        parts = [resolution(target, draws) for resolution in self.resolutions]
        return {name: torch.stack([part[name] for part in parts]).mean() for name in parts[0]}


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence from the posterior to a unit Gaussian, in nats per element (Kingma & Welling 2013)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


def discriminator_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Hinge loss over discriminators (Lim & Ye 2017)."""
    return _mean(lambda r, f: (1 - r).relu().mean() + (1 + f).relu().mean(), real, fake)


def generator_loss(fake: list[Tensor]) -> Tensor:
    """Hinge loss of the generator."""
    return _mean(lambda f: -f.mean(), fake)


def feature_matching(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    """L1 between the discriminators' hidden layers, relative to their magnitude on real sound (Kumar et al. 2019)."""
    pairs = [pair for r, f in zip(real, fake, strict=True) for pair in zip(r, f, strict=True)]
    terms = [(r.detach() - f).abs().mean() / r.detach().abs().mean().clamp(min=1e-3) for r, f in pairs]
    return torch.stack(terms).mean()


def _mean(term: Callable[..., Tensor], *lists: list[Tensor]) -> Tensor:
    return torch.stack([term(*(t.float() for t in row)) for row in zip(*lists, strict=True)]).mean()
