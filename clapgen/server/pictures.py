"""Spectrograms for the page, as addresses that hold the picture itself."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path

import numpy as np


def spectrogram_address(waveform: np.ndarray, sample_rate: int) -> str:
    """A small spectrogram of a waveform (samples,) as a `data:` address of a PNG."""
    from clapgen.plot import spectrogram_strip

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spectrogram.png"
        spectrogram_strip(waveform, sample_rate, path)
        return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
