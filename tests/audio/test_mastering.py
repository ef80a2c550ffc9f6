"""Generated sounds are written without rumble and clicks, as loud as asked."""

import numpy as np
import pytest
import soundfile

from clapgen.audio.mastering import Level, fade, loudness, master, peak_dbfs, remove_rumble
from clapgen.errors import ClapgenError

RATE = 32000


def sine(hz: float, seconds: float = 1.0, amplitude: float = 0.3) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


def test_rumble_and_offset_go_and_the_rest_stays_in_place() -> None:
    audible = sine(40) + sine(440) + sine(12000)
    filtered = remove_rumble(audible + sine(5) + np.float32(0.2), RATE)
    middle = slice(RATE // 8, -RATE // 8)
    assert rms(filtered[middle] - audible[middle]) < 0.01
    assert len(filtered) == len(audible)


@pytest.mark.parametrize("length", [1, 2, 31, 400, RATE])
def test_short_sounds_keep_their_length(length: int) -> None:
    mastered, _ = master(sine(440)[:length] + np.float32(0.1), RATE)
    assert mastered.shape == (length,)
    assert np.isfinite(mastered).all()


def test_ends_are_silent_and_the_middle_is_untouched() -> None:
    waveform = np.full(RATE, 0.5, dtype=np.float32)
    faded = fade(waveform, RATE)
    assert abs(faded[0]) < 1e-6
    assert abs(faded[-1]) < 1e-6
    np.testing.assert_array_equal(faded[RATE // 100 : -RATE // 50], waveform[RATE // 100 : -RATE // 50])


def test_the_level_is_what_was_asked_for() -> None:
    quiet = sine(997, 2.0, 0.02)
    mastered, gain = master(quiet, RATE)
    assert peak_dbfs(mastered) == pytest.approx(-1, abs=1e-3)
    assert gain == pytest.approx(-1 - 20 * np.log10(0.02), abs=0.1)
    assert peak_dbfs(master(quiet, RATE, Level(peak=-12))[0]) == pytest.approx(-12, abs=1e-3)
    assert loudness(master(quiet, RATE, Level(loudness=-23))[0], RATE) == pytest.approx(-23, abs=0.1)
    as_is, gain = master(quiet, RATE, Level(as_is=True))
    assert gain == 0
    assert rms(as_is) == pytest.approx(rms(quiet), rel=0.02)


def test_a_level_that_would_clip_is_lowered() -> None:
    click = np.zeros(RATE, dtype=np.float32)
    click[RATE // 2] = 0.5
    mastered, _ = master(click + 0.01 * sine(997), RATE, Level(loudness=-5))
    assert peak_dbfs(mastered) == pytest.approx(-1, abs=1e-3)
    loud, gain = master(4 * sine(440), RATE, Level(as_is=True))
    assert peak_dbfs(loud) == pytest.approx(0, abs=1e-3)
    assert gain < 0


def test_loudness_is_that_of_the_standard() -> None:
    # EBU Tech 3341, case 1: a stereo sine of 1 kHz at -23 dBFS is -23 LUFS; in one channel it is 3 LU less.
    time = np.arange(48000 * 5) / 48000
    tone = (10 ** (-23 / 20) * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)
    assert loudness(tone, 48000) == pytest.approx(-26.0, abs=0.1)
    assert loudness(tone[:2400], 48000) == pytest.approx(-26.0, abs=0.2)  # shorter than the meter's window
    assert loudness(np.zeros(48000, dtype=np.float32), 48000) <= -70


def test_silence_stays_silence(tmp_path) -> None:
    silent = np.zeros(RATE, dtype=np.float32)
    for level in (None, Level(loudness=-20), Level(as_is=True)):
        mastered, gain = master(silent, RATE, level)
        assert gain == 0
        assert not mastered.any()
    soundfile.write(tmp_path / "a.wav", mastered, RATE)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"peak": 1.0}, "peak must be -60 to 0 dBFS, not 1"),
        ({"loudness": float("nan")}, "loudness must be -70 to 0 LUFS, not nan"),
        ({"peak": -1.0, "as_is": True}, "choose one"),
    ],
)
def test_a_level_that_cannot_be_meant_is_refused(options: dict, words: str) -> None:
    with pytest.raises(ClapgenError, match=words):
        Level(**options)
