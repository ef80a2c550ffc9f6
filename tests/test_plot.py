"""A spectrogram shows a sound where and when it is."""

import numpy as np
import pytest
from PIL import Image

from clapgen.audio import read_audio
from clapgen.errors import ClapgenError
from clapgen.plot import _HEIGHT, _LEFT, _LOWEST, _TOP, _WIDTH, magma, spectrogram_png


def brightness(path) -> np.ndarray:
    """`(_HEIGHT, _WIDTH)` of the spectrogram itself, low frequencies first."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"), dtype=float)[_TOP : _TOP + _HEIGHT, _LEFT : _LEFT + _WIDTH][::-1]


@pytest.mark.parametrize("frequency", [100.0, 1000.0, 9000.0])
def test_a_tone_lies_at_its_frequency_and_time(tmp_path, frequency):
    time = np.arange(64000) / 32000
    tone = np.where(time < 1.0, 0.5 * np.sin(2 * np.pi * frequency * time), 0.0)
    spectrogram_png(tone, 32000, tmp_path / "tone.png", title="tone")
    image = brightness(tmp_path / "tone.png")
    during, after = image[:, : _WIDTH // 2 - 40], image[:, _WIDTH // 2 + 40 :]
    row = during.mean(axis=1).argmax()
    shown = _LOWEST * (16000 / _LOWEST) ** ((row + 0.5) / _HEIGHT)
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


def test_refuses_what_it_cannot_draw_and_keeps_what_is_there(tmp_path):
    with pytest.raises(ClapgenError, match="mono"):
        spectrogram_png(np.zeros(0), 16000, tmp_path / "a.png")
    (tmp_path / "b.png").write_text("mine")
    with pytest.raises(ClapgenError, match="exists already"):
        spectrogram_png(np.zeros(100), 16000, tmp_path / "b.png")
    assert (tmp_path / "b.png").read_text() == "mine"
