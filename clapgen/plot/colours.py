"""Colour map, background and text colours of images."""

import numpy as np

# Nine samples of matplotlib's magma (CC0, Nathaniel Smith and Stéfan van der Walt), evenly spaced.
_MAGMA = ("000004", "1d1147", "51127c", "822681", "b63679", "e65164", "fb8861", "fec287", "fcfdbf")
BACKGROUND, TEXT, FAINT = (15, 13, 22), (226, 222, 232), (120, 114, 132)


def magma(values: np.ndarray) -> np.ndarray:
    """Colours `(..., 3)` uint8 of values in [0, 1]."""
    table = np.array([[int(colour[i : i + 2], 16) for i in (0, 2, 4)] for colour in _MAGMA])
    position = np.linspace(0, 1, len(table))
    return np.stack([np.interp(values, position, table[:, i]) for i in range(3)], axis=-1).round().astype(np.uint8)
