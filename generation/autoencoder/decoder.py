"""The decoder: ConvNeXt blocks that end in an inverse STFT, after Vocos (Siuzdak 2023, arXiv:2306.00814).

The network predicts a spectrum frame by frame, so no layer runs at the sample rate. Two more sources are added:
filtered white noise for textures (rain, wind) and phase-continuous sinusoids for tones (bells).
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clapgen.audio.mel import hz_to_mel, mel_filters, mel_to_hz
from generation.autoencoder.config import AutoencoderConfig
from generation.autoencoder.convnext import convnext_blocks
from generation.autoencoder.encoder import SCALE_DB, SCALE_OFFSET_DB

TONE_SPACING = 5  # bins: one partial every 125 Hz at the defaults


class Decoder(nn.Module):
    """Latents `(batch, latent_frames, latent_dim)` -> waveform `(batch, latent_frames * samples_per_latent)`.

    The spectrum is a sum of three: magnitude and phase of every bin (attacks), filtered white noise (textures), and one
    partial in every band of `TONE_SPACING` bins. Equal latents give equal frames, and repeated frames can only contain
    multiples of the frame rate. The network therefore predicts the frequency of each partial, and its phase is the
    running sum of the frequencies (as in DDSP, Engel et al. 2020, arXiv:2001.04643).

    All magnitudes are relative to an envelope that `unproject` predicts from the latents, on the scale of the encoder's
    `fine_log_mel`.
    """

    window: Tensor
    tone_centres: Tensor
    band_to_bin: Tensor
    bin_level: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.bins = config.n_fft // 2 + 1
        self.tones = self.bins // TONE_SPACING
        self.unproject = nn.Linear(config.latent_dim, config.fine_mels * config.frames_per_latent)
        self.embed_bands = nn.Linear(config.fine_mels, config.decoder_width)
        self.embed = nn.Linear(config.latent_dim, config.decoder_slow_width)
        self.slow = convnext_blocks(config, config.decoder_slow_width, config.decoder_slow_depth)
        self.upsample = nn.Linear(config.decoder_slow_width, config.decoder_width * config.frames_per_latent)
        self.fast = convnext_blocks(config, config.decoder_width, config.decoder_depth)
        self.norm = nn.LayerNorm(config.decoder_width)
        self.head = nn.Linear(config.decoder_width, 3 * self.bins + 2 * self.tones)
        with torch.no_grad():  # start as noise with the right envelope, the other sources quieter
            self.head.weight *= 0.3
            self.head.bias[: self.bins] -= 2
            self.head.bias[3 * self.bins : 3 * self.bins + self.tones] -= 1
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)
        centres = TONE_SPACING * torch.arange(self.tones) + TONE_SPACING // 2
        self.register_buffer("tone_centres", centres.float(), persistent=False)
        band_to_bin, bin_level = _bands_to_bins(config)
        self.register_buffer("band_to_bin", band_to_bin, persistent=False)
        self.register_buffer("bin_level", bin_level, persistent=False)

    def forward(self, latents: Tensor, noise: Tensor) -> Tensor:
        """Waveforms for several draws of noise; the network runs once for all of them.

        Args:
            noise: `(draws, batch or 1, samples + n_fft - hop_length)`.

        Returns: `(draws, batch, samples)` with samples = latent_frames * samples_per_latent.
        """
        spectra = self.predict(latents)
        return self.synthesise(spectra, self.tone_phase(spectra), noise)

    def predict(self, latents: Tensor) -> Tensor:
        """The output of the network for every frame: `(batch, frames, 3 * bins + 2 * tones)`."""
        ratio = self.config.frames_per_latent
        bands = self.unproject(latents).unflatten(2, (ratio, -1)).flatten(1, 2)
        hidden = self.upsample(self.slow(self.embed(latents))).unflatten(2, (ratio, -1)).flatten(1, 2)
        spectra = self.head(self.norm(self.fast(hidden + self.embed_bands(bands)))).float()
        with torch.autocast(latents.device.type, enabled=False):
            envelope = bands.float() @ self.band_to_bin + self.bin_level
        at_tones = envelope[..., self.tone_centres.long()]
        zero = torch.zeros_like(envelope)
        return spectra + torch.cat([envelope, zero, envelope, at_tones, torch.zeros_like(at_tones)], dim=-1)

    @torch.no_grad()
    def tone_phase(self, spectra: Tensor) -> Tensor:
        """Phase of each partial at the centre of each frame, `(batch, frames, tones)`, in radians."""
        # on the CPU in double precision: a sum over minutes must not depend on the device
        frequency = self._tone_frequency(spectra[..., -self.tones :]).cpu().double()
        before = torch.cat([frequency[:, :1], frequency[:, :-1]], dim=1)
        cycles = (frequency + before) / 2 * self.config.hop_length / self.config.n_fft
        start = torch.arange(self.tones) * 0.618034  # equal phases would start with a click
        return (2 * torch.pi * (cycles.cumsum(1) + start).remainder(1)).float().to(spectra.device)

    def synthesise(self, spectra: Tensor, tone_phase: Tensor, noise: Tensor) -> Tensor:
        """Waveforms `(draws, batch, samples)` from the output of `predict`."""
        with torch.autocast(spectra.device.type, enabled=False):
            bins, tones = self.bins, self.tones
            log_magnitude, phase, log_noise, log_tone, offset = spectra.split([bins, bins, bins, tones, tones], dim=-1)
            spectrum = torch.polar(log_magnitude.clamp(max=6.5).exp(), phase)  # e^6.5: twice a full-scale sine
            spectrum = spectrum + self._tone_spectrum(log_tone, self._tone_frequency(offset), tone_phase)
            return self._overlap_add(spectrum + log_noise.clamp(max=6.5).exp() * self._noise_spectrum(noise))

    def _tone_frequency(self, offset: Tensor) -> Tensor:
        """In bins; the range extends into the neighbouring bands, so that a glide need not switch bands at the edge."""
        return self.tone_centres + 0.7 * TONE_SPACING * offset.tanh()

    def _tone_spectrum(self, log_tone: Tensor, frequency: Tensor, phase: Tensor) -> Tensor:
        """Spectrum `(batch, frames, bins)` of partials `(batch, frames, tones)`: the window's main lobe at each."""
        taps = torch.arange(3 * TONE_SPACING, device=log_tone.device) - TONE_SPACING - TONE_SPACING // 2
        distance = taps + (self.tone_centres - frequency)[..., None]
        lobe = 0.5 + 0.5 * (distance.clamp(-2, 2) * (torch.pi / 2)).cos()  # Hann's own lobe within 0.03
        amplitude = log_tone.clamp(max=6.5).exp()
        real, imaginary = ((amplitude * part)[..., None] * lobe for part in (phase.cos(), phase.sin()))
        summed = [_sum_shifted(part, TONE_SPACING)[..., TONE_SPACING:] for part in (real, imaginary)]
        spectrum = F.pad(torch.complex(*summed), (0, max(0, self.bins - summed[0].shape[-1])))[..., : self.bins]
        # phases refer to the frame centre, half a window in: every other bin changes sign
        return spectrum * (1 - 2 * (torch.arange(self.bins, device=log_tone.device) % 2))

    def _noise_spectrum(self, noise: Tensor) -> Tensor:
        frames = noise.unfold(-1, self.config.n_fft, self.config.hop_length) * self.window
        return torch.fft.rfft(frames) / self.window.square().sum().sqrt()

    def _overlap_add(self, spectrum: Tensor) -> Tensor:
        """Inverse STFT of `(..., frames, bins)`; frame i is centred on the samples i * hop to (i + 1) * hop."""
        hop, n_fft = self.config.hop_length, self.config.n_fft
        pieces = torch.fft.irfft(spectrum, n=n_fft) * self.window
        weight = self.window.square().expand(1, spectrum.shape[-2], n_fft)
        margin = (n_fft - hop) // 2
        return (_sum_shifted(pieces, hop) / _sum_shifted(weight, hop).clamp(min=1e-6))[..., margin:-margin]

    def context(self) -> int:
        """Number of latent frames on each side that the output of `predict` for one depends on."""
        config = self.config
        radius = config.kernel_size // 2
        fast = math.ceil(radius * config.decoder_depth / config.frames_per_latent)
        return fast + radius * config.decoder_slow_depth

    def synthesis_context(self) -> int:
        """Number of latent frames on each side whose windows overlap the samples of one."""
        return math.ceil(self.config.n_fft / (2 * self.config.samples_per_latent))


def _bands_to_bins(config: AutoencoderConfig) -> tuple[Tensor, Tensor]:
    """Linear map from the encoder's scaled fine log-mel to log-magnitudes of matching noise, at the bins of n_fft."""
    edges = np.linspace(0, hz_to_mel(config.sample_rate / 2), config.fine_mels + 2)
    centres = mel_to_hz(edges[1:-1])
    frequencies = np.linspace(0, config.sample_rate / 2, config.n_fft // 2 + 1)
    interpolate = np.stack([np.interp(frequencies, centres, row) for row in np.eye(config.fine_mels)])
    widths = mel_filters(config.sample_rate, config.fine_n_fft, config.fine_mels, 0.0, config.sample_rate / 2).sum(1)
    log_power_of_db = np.log(10) / 10
    # a longer window has more noise power per bin; filters narrower than a bin may be empty
    level = -np.log(np.maximum(widths, 1e-4)) @ interpolate - np.log(config.fine_n_fft / config.n_fft)
    slope = 0.5 * log_power_of_db * SCALE_DB * interpolate
    offset = 0.5 * (level - log_power_of_db * SCALE_OFFSET_DB)
    return torch.from_numpy(slope).float(), torch.from_numpy(offset).float()


def _sum_shifted(pieces: Tensor, hop: int) -> Tensor:
    """Overlap-add `(…, frames, n_fft)` at steps of `hop`, a divisor of n_fft: `(…, (frames - 1) * hop + n_fft)`."""
    overlap = pieces.shape[-1] // hop
    columns = pieces.unflatten(-1, (overlap, hop)).unbind(-2)
    shifted = [F.pad(column, (0, 0, i, overlap - 1 - i)) for i, column in enumerate(columns)]
    return torch.stack(shifted).sum(0).flatten(-2)
