"""Probability curves over the spectrogram of a sound of any length, drawn while the sound is read."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from clapgen.errors import ClapgenError
from clapgen.files import atomic_path
from clapgen.plot.colours import BACKGROUND, FAINT, TEXT
from clapgen.plot.lettering import fitted
from clapgen.plot.long_sounds import LongCurves, LongSpectrogram
from clapgen.plot.spectrogram import PLOT_AREA, with_axes

Span = tuple[float, float]

# Okabe and Ito's colours, which also colour-blind people tell apart, without black; brighter for a dark background.
CURVE_COLOURS = (
    (86, 200, 255),
    (255, 190, 40),
    (60, 220, 160),
    (255, 130, 60),
    (240, 150, 210),
    (245, 235, 90),
    (120, 150, 255),
    (235, 235, 235),
)
_LINE, _BAR = 26, 7  # pixels of a line of the legend, and of a segment's bar


class LocationPicture:
    """Draws the spectrogram of a sound, and over it one curve per query, from 0 at the bottom to 1 at the top.

    At most eight queries are drawn: those with the highest probability.
    """

    def __init__(self, sample_rate: int, queries: Sequence[str]) -> None:
        left, top, right, bottom = PLOT_AREA
        self._width, self._height = right - left, bottom - top
        self._rate, self._queries = sample_rate, list(queries)
        self._spectrogram = LongSpectrogram(sample_rate, self._height)
        self._curves = LongCurves(len(self._queries))
        self._curve_rate = 1.0

    def add_audio(self, piece: npt.NDArray[np.float32]) -> None:
        """Add the next piece (samples,) of the sound."""
        self._spectrogram.add(piece)

    def add_curves(self, curves: npt.NDArray[np.float32], rate: float) -> None:
        """Add the next block (points, queries) of the curves, `rate` points a second."""
        self._curves.add(curves)
        self._curve_rate = rate

    def save(
        self,
        path: str | os.PathLike[str],
        segments: Sequence[Sequence[Span]],
        threshold: float,
        title: str = "",
        overwrite: bool = False,
    ) -> None:
        """Write the picture as a PNG.

        Args:
            segments: start and end in seconds of the segments of each query, drawn as bars.
            threshold: drawn as a line.

        Raises:
            ClapgenError: nothing was added, or the file exists (and not `overwrite`) or cannot be written.
        """
        if not self._spectrogram.samples or not self._curves.points:
            raise ClapgenError(f"cannot draw {path}: the sound is empty.")
        seconds = self._spectrogram.samples / self._rate
        picture = with_axes(self._spectrogram.shade(self._width), seconds, self._rate / 2, title)
        heights = self._curves.heights(self._width, seconds * self._curve_rate)
        shown = np.argsort(-heights.max(1), kind="stable")[: len(CURVE_COLOURS)]
        picture = _with_room(picture, self._legend_lines(len(shown)) * _LINE)
        draw = ImageDraw.Draw(picture)
        _draw_threshold(draw, threshold)
        for place, query in enumerate(sorted(shown)):
            self._draw_curve(draw, heights[query], CURVE_COLOURS[place])
            self._draw_segments(draw, segments[query], seconds, place)
            self._draw_name(draw, int(query), place)
        if len(shown) < len(self._queries):
            more = f"{len(self._queries) - len(shown)} more queries with lower probabilities are not drawn"
            self._write(draw, more, len(shown), FAINT)
        with atomic_path(path, overwrite) as temporary:
            picture.save(temporary, format="PNG", optimize=True)

    def _legend_lines(self, shown: int) -> int:
        return (shown + (shown < len(self._queries)) + 1) // 2

    def _draw_curve(self, draw: ImageDraw.ImageDraw, heights: npt.NDArray[np.float64], colour: tuple) -> None:
        left, _, _, bottom = PLOT_AREA
        points = [(left + x, bottom - 1 - h * (self._height - 1)) for x, h in enumerate(heights.tolist())]
        draw.line(points, fill=BACKGROUND, width=5)  # readable on bright parts too
        draw.line(points, fill=colour, width=2)

    def _draw_segments(self, draw: ImageDraw.ImageDraw, spans: Sequence[Span], seconds: float, place: int) -> None:
        left, top, right, _ = PLOT_AREA
        y = top + 3 + place * (_BAR + 2)
        for start, end in spans:
            first, last = (left + (right - left) * time / seconds for time in (start, end))
            draw.rectangle(
                (first, y, max(first + 1, last - 1), y + _BAR), fill=CURVE_COLOURS[place], outline=BACKGROUND
            )

    def _draw_name(self, draw: ImageDraw.ImageDraw, query: int, place: int) -> None:
        x, y = self._write(draw, self._queries[query], place, TEXT)
        draw.rectangle((x - 22, y - 5, x - 8, y + 5), fill=CURVE_COLOURS[place])

    def _write(self, draw: ImageDraw.ImageDraw, text: str, place: int, colour: tuple) -> tuple[float, float]:
        left, _, right, bottom = PLOT_AREA
        half = (right - left) / 2
        x, y = left + 22 + half * (place % 2), bottom + 56 + _LINE * (place // 2 + 0.2)
        font = ImageFont.load_default(size=15)
        draw.text((x, y), fitted(draw, text, font, half - 40), fill=colour, font=font, anchor="lm")
        return x, y


def _with_room(picture: Image.Image, pixels: int) -> Image.Image:
    taller = Image.new("RGB", (picture.width, picture.height + pixels), BACKGROUND)
    taller.paste(picture, (0, 0))
    return taller


def _draw_threshold(draw: ImageDraw.ImageDraw, threshold: float) -> None:
    left, top, right, bottom = PLOT_AREA
    y = bottom - 1 - threshold * (bottom - top - 1)
    for x in range(left, right, 12):
        draw.line((x, y, x + 5, y), fill=TEXT)
    font = ImageFont.load_default(size=13)
    draw.text(
        (right - 6, y - 3),
        f"{threshold:.2g}",
        fill=TEXT,
        font=font,
        anchor="rb",
        stroke_width=2,
        stroke_fill=BACKGROUND,
    )
