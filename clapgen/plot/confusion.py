"""A confusion matrix as an image: rows are the truth, columns the prediction; brighter is more frequent."""

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from clapgen.errors import ClapgenError
from clapgen.files import atomic_path
from clapgen.plot.colours import BACKGROUND, FAINT, TEXT, magma
from clapgen.plot.lettering import Font, fitted

_LARGEST_SIDE = 4000  # pixels of the matrix: with many classes cells shrink, and names are dropped when they do not fit
_LONGEST_NAME = 200  # pixels
_MARGIN, _AXIS = 24, 30
_DARKEST = 0.12  # of the colour map, so that a single hit is visible


def confusion_png(
    labels: Sequence[str], counts: Sequence[Sequence[int]], path: str | os.PathLike[str], overwrite: bool = False
) -> None:
    """Draw `(classes, classes)` counts; rows are the truth, colours show the share of the row.

    Raises:
        ClapgenError: no classes, a shape that is not (labels, labels), negative counts, or the file exists (and not
            `overwrite`) or cannot be written.
    """
    matrix = np.asarray(counts, dtype=np.int64)
    if not labels or matrix.shape != (len(labels), len(labels)) or (matrix < 0).any():
        raise ClapgenError(
            f"cannot draw {path}: {len(labels)} classes need as many rows and columns of non-negative counts, "
            f"not {' × '.join(map(str, matrix.shape))}."
        )
    picture = _draw(list(labels), matrix)
    with atomic_path(path, overwrite) as temporary:
        picture.save(temporary, format="PNG", optimize=True)


def shares(counts: np.ndarray) -> np.ndarray:
    """Counts as shares of their row, `(classes, classes)` in [0, 1]; a class without clips has zeros."""
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def _draw(labels: list[str], counts: np.ndarray) -> Image.Image:
    cell = int(np.clip(_LARGEST_SIDE // len(labels), 1, 44 if len(labels) <= 20 else 22))
    side = cell * len(labels)
    font = ImageFont.load_default(size=max(8, min(15, cell - 4)))
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    names = [fitted(ruler, label, font, _LONGEST_NAME) for label in labels] if cell >= 12 else []
    margin = _MARGIN + _AXIS + max((round(font.getlength(name)) + 8 for name in names), default=0)
    picture = Image.new("RGB", (margin + side + _MARGIN, margin + side + _MARGIN), BACKGROUND)
    cells = Image.fromarray(_colours(counts)).resize((side, side), Image.Resampling.NEAREST)
    picture.paste(cells, (margin, margin))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((margin - 1, margin - 1, margin + side, margin + side), outline=FAINT)
    _names(picture, draw, names, font, cell, margin)
    if cell >= 22:
        _numbers(draw, counts, cell, margin)
    axis = ImageFont.load_default(size=15)
    key = fitted(draw, "rows: truth; columns: guess; brighter: more of the row", axis, picture.width - 2 * _MARGIN)
    draw.text((_MARGIN, _MARGIN), key, fill=FAINT, font=axis, anchor="lm")
    return picture


def _colours(counts: np.ndarray) -> np.ndarray:
    """Colours `(classes, classes, 3)`: black for 0, then a visible purple up to white for the whole row."""
    share = shares(counts)
    return magma(np.where(counts > 0, _DARKEST + (1 - _DARKEST) * share, 0.0))


def _names(
    picture: Image.Image, draw: ImageDraw.ImageDraw, names: list[str], font: Font, cell: int, margin: int
) -> None:
    for index, name in enumerate(names):
        middle = margin + (index + 0.5) * cell
        draw.text((margin - 8, middle), name, fill=TEXT, font=font, anchor="rm")
        width = max(1, round(font.getlength(name)))
        upright = Image.new("RGB", (width, cell), BACKGROUND)
        ImageDraw.Draw(upright).text((0, cell / 2), name, fill=TEXT, font=font, anchor="lm")
        turned = upright.rotate(90, expand=True)
        picture.paste(turned, (round(middle - cell / 2), margin - 8 - width))


def _numbers(draw: ImageDraw.ImageDraw, counts: np.ndarray, cell: int, margin: int) -> None:
    font = ImageFont.load_default(size=11 if cell < 40 else 15)
    share = shares(counts)
    for row, column in np.argwhere(counts > 0):
        centre = margin + (column + 0.5) * cell, margin + (row + 0.5) * cell
        dark = share[row, column] > 0.6  # on bright colours
        text = str(counts[row, column])
        if draw.textlength(text, font) < cell:
            draw.text(centre, text, fill=BACKGROUND if dark else TEXT, font=font, anchor="mm")
