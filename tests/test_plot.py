"""Spectrograms show sounds at their time and frequency; confusion matrices show confusions."""

import numpy as np
import pytest
from PIL import Image

from clapgen.audio import read_audio
from clapgen.errors import ClapgenError
from clapgen.plot import confusion_png, magma, spectrogram_png, spectrogram_strip
from clapgen.plot.spectrogram import PLOT_AREA

LOWEST = 40.0  # Hz at the bottom edge; the top edge is half the sample rate


def brightness(path) -> np.ndarray:
    """`(height, width)` of the spectrogram itself, low frequencies first."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L").crop(PLOT_AREA), dtype=float)[::-1]


@pytest.mark.parametrize("frequency", [100.0, 1000.0, 9000.0])
def test_a_tone_lies_at_its_frequency_and_time(tmp_path, frequency):
    time = np.arange(64000) / 32000
    tone = np.where(time < 1.0, 0.5 * np.sin(2 * np.pi * frequency * time), 0.0)
    spectrogram_png(tone, 32000, tmp_path / "tone.png", title="tone")
    image = brightness(tmp_path / "tone.png")
    height, width = image.shape
    during, after = image[:, : width // 2 - 40], image[:, width // 2 + 40 :]
    row = during.mean(axis=1).argmax()
    shown = LOWEST * (16000 / LOWEST) ** ((row + 0.5) / height)
    assert shown == pytest.approx(frequency, rel=0.05)
    assert during[row].mean() > 200
    assert after.max() < 10


def test_louder_is_brighter_up_to_white():
    colours = magma(np.linspace(0, 1, 50)).astype(float)
    assert np.all(np.diff(colours @ [0.299, 0.587, 0.114]) > 0)


def test_real_recordings_silence_and_clicks_are_drawn(tmp_path, recordings):
    waveform, rate = read_audio(recordings[0])
    spectrogram_png(waveform, rate, tmp_path / "real.png", title="x" * 5000)
    assert np.ptp(brightness(tmp_path / "real.png")) > 150
    spectrogram_png(np.zeros(16000), 16000, tmp_path / "silence.png", title="雨 🎵 \x00\n")
    assert brightness(tmp_path / "silence.png").max() < 10
    spectrogram_png(np.ones(1), 48000, tmp_path / "click.png")


def test_refuses_what_it_cannot_draw_and_keeps_existing_files(tmp_path):
    with pytest.raises(ClapgenError, match="mono"):
        spectrogram_png(np.zeros(0), 16000, tmp_path / "a.png")
    (tmp_path / "b.png").write_text("mine")
    with pytest.raises(ClapgenError, match="already exists"):
        spectrogram_png(np.zeros(100), 16000, tmp_path / "b.png")
    assert (tmp_path / "b.png").read_text() == "mine"


def test_a_strip_shows_the_same_as_the_large_image_in_few_bytes(tmp_path, recordings):
    waveform, rate = read_audio(recordings[-1])
    spectrogram_png(waveform, rate, tmp_path / "large.png")
    spectrogram_strip(waveform, rate, tmp_path / "strip.png", width=212, height=70)
    with Image.open(tmp_path / "strip.png") as picture:
        strip = np.asarray(picture.convert("L"), dtype=float)
    assert strip.shape == (70, 212)
    large = brightness(tmp_path / "large.png")[::-1].reshape(70, 6, 212, 5).mean(axis=(1, 3))
    assert np.corrcoef(strip.ravel(), large.ravel())[0, 1] > 0.95
    assert (tmp_path / "strip.png").stat().st_size < 15_000


@pytest.mark.parametrize("classes", [1, 6, 40, pytest.param(400, marks=pytest.mark.slow)])
def test_a_confusion_matrix_is_bright_where_classes_are_confused(tmp_path, classes):
    counts = np.diag(np.full(classes, 9))
    counts[0, -1] += 3
    confusion_png([f"class {'é😀<b>' * 40}"] * classes, counts.tolist(), tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as picture:
        grey = np.asarray(picture.convert("L"), dtype=float)
    cell = 44 if classes <= 20 else 22 if classes == 40 else 10
    matrix = grey[-24 - cell * classes : -24, -24 - cell * classes : -24]
    cells = matrix.reshape(classes, cell, classes, cell)[:, 1].mean(axis=2)  # the row of pixels above the number
    assert np.array_equal(cells > 20, counts > 0)
    if classes > 1:
        assert cells[1, 1] > cells[0, -1]


@pytest.mark.parametrize("counts", [[], [[1, 2]], [[1, 0], [-1, 0]]])
def test_counts_that_do_not_fit_the_classes_are_refused(tmp_path, counts):
    with pytest.raises(ClapgenError, match="2 classes need"):
        confusion_png(["a", "b"], counts, tmp_path / "c.png")
    with pytest.raises(ClapgenError, match="0 classes need"):
        confusion_png([], [], tmp_path / "c.png")
