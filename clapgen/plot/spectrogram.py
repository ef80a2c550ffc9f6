"""A spectrogram as an image on a dark background; time in seconds, frequency in kHz on a logarithmic axis."""

import math
import os
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from clapgen.errors import ClapgenError
from clapgen.files import atomic_path
from clapgen.plot.colours import BACKGROUND, FAINT, TEXT, magma
from clapgen.plot.lettering import fitted

_WIDTH, _HEIGHT = 1060, 420  # of the spectrogram itself, in pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 100, 56, 56  # margins
PLOT_AREA = (_LEFT, _TOP, _LEFT + _WIDTH, _TOP + _HEIGHT)  # where the spectrogram is in the PNG; as for Image.crop
WINDOW, _FFT = 2048, 4096  # zero-padded to twice the window, so that single bins do not show at low frequencies
LOWEST = 40.0  # Hz
_RANGE = 80.0  # dB
_TIME_UNITS = (("h", 3600), ("min", 60), ("s", 1))  # of the axis, once a sound has five of them
_SILENCE = -100.0  # dB: lower limit of the colour range, so that dither stays dark


def spectrogram_png(
    waveform: np.ndarray, sample_rate: int, path: str | os.PathLike[str], title: str = "", overwrite: bool = False
) -> None:
    """Draw a waveform `(samples,)` as a PNG: an 80 dB range below the loudest point, 40 Hz to half the sample rate.

    Raises:
        ClapgenError: the waveform is empty, or the file exists (and not `overwrite`) or cannot be written.
    """
    shade = _shade(waveform, sample_rate, _WIDTH, _HEIGHT, path)
    picture = with_axes(shade, len(waveform) / sample_rate, sample_rate / 2, title)
    with atomic_path(path, overwrite) as temporary:
        picture.save(temporary, format="PNG", optimize=True)


def spectrogram_strip(
    waveform: np.ndarray, sample_rate: int, path: str | os.PathLike[str], width: int = 480, height: int = 140
) -> None:
    """Like `spectrogram_png`, but small and without axes, for a page with many of them; at most 64 colours.

    Raises:
        ClapgenError: as `spectrogram_png`.
    """
    shade = _shade(waveform, sample_rate, width, height, path)
    picture = Image.fromarray((shade * 63).round().astype(np.uint8), mode="P")
    picture.putpalette(magma(np.linspace(0, 1, 64)).tobytes())
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", optimize=True)


def _shade(waveform: np.ndarray, sample_rate: int, width: int, height: int, path: str | os.PathLike[str]) -> np.ndarray:
    """Brightness of each pixel, `(height, width)` in [0, 1], high frequencies first."""
    waveform = np.asarray(waveform, dtype=np.float32)
    if waveform.ndim != 1 or waveform.size == 0:
        raise ClapgenError(
            f"cannot draw {path}: the waveform must be mono and not empty; its shape is {waveform.shape}."
        )
    return brightness(_power_image(waveform, sample_rate, np.geomspace(LOWEST, sample_rate / 2, height + 1), width))


def brightness(power: np.ndarray) -> np.ndarray:
    """Mean power (height, width), low frequencies first, to brightness in [0, 1], high frequencies first."""
    decibels = 10 * np.log10(np.maximum(power[::-1], 1e-16))
    top = max(decibels.max(), _SILENCE + _RANGE)
    return np.clip((decibels - top) / _RANGE + 1, 0, 1)


def _power_image(waveform: np.ndarray, sample_rate: int, frequencies: np.ndarray, width: int) -> np.ndarray:
    """Mean power `(rows, width)` over the time and frequency range of each pixel; low frequencies first."""
    hop = max(1, min(WINDOW // 4, len(waveform) // width))
    total, count = np.zeros((width, len(frequencies) - 1)), np.zeros((width, 1))
    for first_frame, spectra in _spectra(waveform, hop):
        rows = row_powers(spectra, sample_rate, frequencies)
        centres = (first_frame + np.arange(len(spectra))) * hop
        columns = np.minimum(centres * width // len(waveform), width - 1)
        np.add.at(total, columns, rows)
        np.add.at(count, columns, 1)
    filled = np.flatnonzero(count[:, 0])  # a very short sound has fewer frames than the image has columns
    nearest = filled[np.clip(np.searchsorted(filled, np.arange(width), side="right") - 1, 0, None)]
    return (total[nearest] / count[nearest]).T


def row_powers(spectra: np.ndarray, sample_rate: int, frequencies: np.ndarray) -> np.ndarray:
    """Mean power (n, rows) of spectra (n, bins) between each two of `frequencies` (rows + 1) in Hz."""
    bins = np.linspace(0, sample_rate / 2, 1 + _FFT // 2)
    # The mean over a row is a difference of the running integral; this works for rows narrower than a bin too.
    integral = np.concatenate([np.zeros((len(spectra), 1)), np.cumsum(spectra, axis=1)], axis=1)
    edges = np.interp(frequencies, bins, np.arange(len(bins))) + 0.5
    lower = np.floor(edges).astype(int)
    upper = np.minimum(lower + 1, integral.shape[1] - 1)
    at_edges = integral[:, lower] + (edges - lower) * (integral[:, upper] - integral[:, lower])
    return np.diff(at_edges, axis=1) / np.diff(edges)


def power_spectra(frames: np.ndarray) -> np.ndarray:
    """Power spectra (n, bins) of frames (n, WINDOW); a full-scale sine has power 1."""
    window = np.hanning(WINDOW + 1)[:-1]
    return (np.abs(np.fft.rfft(frames * window, _FFT)) * 2 / window.sum()) ** 2


def _spectra(waveform: np.ndarray, hop: int, chunk: int = 512) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first frame, power spectra of up to `chunk` frames), in bounded memory."""
    padded = np.pad(waveform, WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: len(waveform) : hop]
    for first in range(0, len(frames), chunk):
        yield first, power_spectra(frames[first : first + chunk])


def with_axes(shade: np.ndarray, seconds: float, highest: float, title: str) -> Image.Image:
    """The picture of a brightness (height, width) of the size of `PLOT_AREA`; `highest` is its upper edge in Hz."""
    picture = Image.new("RGB", (_LEFT + _WIDTH + _RIGHT, _TOP + _HEIGHT + _BOTTOM), BACKGROUND)
    picture.paste(Image.fromarray(magma(shade)), (_LEFT, _TOP))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((_LEFT - 1, _TOP - 1, _LEFT + _WIDTH, _TOP + _HEIGHT), outline=FAINT)
    title_font = ImageFont.load_default(size=20)
    draw.text((_LEFT, _TOP / 2), fitted(draw, title, title_font, _WIDTH), fill=TEXT, font=title_font, anchor="lm")
    _time_axis(draw, seconds)
    _frequency_axis(draw, highest)
    _colour_bar(picture, draw)
    return picture


def _time_axis(draw: ImageDraw.ImageDraw, seconds: float) -> None:
    font = ImageFont.load_default(size=15)
    bottom = _TOP + _HEIGHT
    unit, per_unit = next((name, size) for name, size in _TIME_UNITS if seconds >= 5 * size or size == 1)
    seconds = seconds / per_unit
    step = _round_step(seconds / 12)
    for index in range(math.floor(seconds / step + 1e-9) + 1):
        x = _LEFT + index * step / seconds * _WIDTH
        draw.line((x, bottom, x, bottom + 6), fill=FAINT)
        if x < _LEFT + _WIDTH - 22 or step * (index + 1) > seconds:
            draw.text((x, bottom + 10), f"{index * step:g}", fill=TEXT, font=font, anchor="mt")
    draw.text((_LEFT + _WIDTH + 14, bottom + 10), unit, fill=FAINT, font=font, anchor="lt")


def _frequency_axis(draw: ImageDraw.ImageDraw, highest: float) -> None:
    font = ImageFont.load_default(size=15)
    for frequency in (50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000):
        if frequency > highest:
            break
        height = math.log(frequency / LOWEST) / math.log(highest / LOWEST)
        y = _TOP + _HEIGHT * (1 - height)
        draw.line((_LEFT - 7, y, _LEFT - 1, y), fill=FAINT)
        draw.text((_LEFT - 12, y), f"{frequency / 1000:g}", fill=TEXT, font=font, anchor="rm")
    draw.text((_LEFT - 12, _TOP - 12), "kHz", fill=FAINT, font=font, anchor="rb")


def _colour_bar(picture: Image.Image, draw: ImageDraw.ImageDraw) -> None:
    font = ImageFont.load_default(size=15)
    left, width = _LEFT + _WIDTH + 22, 14
    bar = np.repeat(magma(np.linspace(1, 0, _HEIGHT))[:, None], width, axis=1)
    picture.paste(Image.fromarray(bar), (left, _TOP))
    draw.rectangle((left - 1, _TOP - 1, left + width, _TOP + _HEIGHT), outline=FAINT)
    for decibels in range(0, -int(_RANGE) - 1, -20):
        y = _TOP - decibels / _RANGE * _HEIGHT
        draw.text((left + width + 8, y), f"{decibels}", fill=TEXT, font=font, anchor="lm")
    draw.text((left + width + 8, _TOP - 12), "dB", fill=FAINT, font=font, anchor="lb")


def _round_step(step: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, … (times any power of ten) that is at least `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))
