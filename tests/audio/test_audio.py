"""Audio survives a round trip to disk in every format, and a file that is not audio gives a clear error."""

import io
import signal
import time

import numpy as np
import pytest
import soundfile

from clapgen.audio import (
    AUDIO_SUFFIXES,
    find_audio,
    peak_normalise,
    rate_and_duration_of,
    read_audio,
    resample,
    to_mono,
    write_audio,
)
from clapgen.errors import ClapgenError


def chord(channels: int, sample_rate: int, seconds: float = 0.5) -> np.ndarray:
    """`(channels, samples)`: one sine per channel, all below 3 kHz, which every format keeps."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return np.stack([0.4 * np.sin(2 * np.pi * 330 * (1 + c) * time) for c in range(channels)]).astype(np.float32)


def read_channels(path) -> tuple[np.ndarray, int]:
    """`(channels, samples)` and sample rate, by the library under clapgen."""
    samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    return samples.T, sample_rate


@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("sample_rate", [8000, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize(("suffix", "bits", "tolerance"), [(".wav", 16, 2**-15), (".wav", 24, 2**-23), (".wav", 32, 0)])
def test_wav_round_trip(tmp_path, suffix, bits, tolerance, sample_rate, channels):
    check_lossless(tmp_path / f"sound{suffix}", chord(channels, sample_rate), sample_rate, bits, tolerance)


@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("sample_rate", [8000, 44100, 96000])
@pytest.mark.parametrize(("bits", "tolerance"), [(16, 2**-15), (24, 2**-23)])
def test_flac_round_trip(tmp_path, bits, tolerance, sample_rate, channels):
    check_lossless(tmp_path / "sound.flac", chord(channels, sample_rate), sample_rate, bits, tolerance)


def check_lossless(path, waveform, sample_rate, bits, tolerance):
    write_audio(path, waveform, sample_rate, bits=bits)
    read, rate = read_channels(path)
    assert rate == sample_rate
    np.testing.assert_allclose(read, waveform, rtol=0, atol=tolerance)
    mono, _ = read_audio(path)
    np.testing.assert_allclose(mono, waveform.mean(axis=0), rtol=0, atol=tolerance + 1e-6)
    assert rate_and_duration_of(path)[1] == pytest.approx(waveform.shape[1] / sample_rate)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("sample_rate", [16000, 32000, 44100, 48000])
@pytest.mark.parametrize("suffix", [".ogg", ".opus"])
def test_lossy_round_trip_keeps_length_and_sound(tmp_path, suffix, sample_rate, channels):
    waveform = chord(channels, sample_rate, seconds=1.0)
    path = tmp_path / f"sound{suffix}"
    write_audio(path, waveform, sample_rate)
    read, rate = read_channels(path)
    assert rate == (sample_rate if suffix == ".ogg" or sample_rate in (16000, 48000) else 48000)
    assert read.shape[0] == channels
    assert read.shape[1] / rate == pytest.approx(1.0, abs=0.001)
    back = resample(read, rate, sample_rate)
    for original, decoded in zip(waveform, back, strict=True):
        middle = slice(sample_rate // 4, 3 * sample_rate // 4)
        assert np.corrcoef(original[middle], decoded[middle])[0, 1] > 0.99


def test_mp3_is_read(tmp_path):
    soundfile.write(tmp_path / "sound.mp3", chord(2, 44100, 1.0).T, 44100)
    waveform, rate = read_audio(tmp_path / "sound.mp3")
    assert rate == 44100
    assert np.abs(waveform).max() == pytest.approx(np.abs(to_mono(chord(2, 44100, 1.0))).max(), abs=0.05)


def test_a_minute_of_vorbis_is_written(tmp_path):
    waveform = np.tile(chord(1, 48000)[0], 120)
    write_audio(tmp_path / "long.ogg", waveform, 48000)  # one long write overflows the stack of libsndfile
    assert rate_and_duration_of(tmp_path / "long.ogg")[1] == pytest.approx(60.0, abs=0.01)


@pytest.mark.slow
def test_same_sound_same_file(tmp_path):
    waveform = 0.3 * np.random.default_rng(0).standard_normal(100_000).astype(np.float32)
    formats = [("16.wav", 16), ("32.wav", 32), ("24.flac", 24), ("lossy.ogg", None), ("lossy.opus", None)]
    for take in ("first", "second"):
        (tmp_path / take).mkdir()
        for name, bits in formats:
            write_audio(tmp_path / take / name, waveform, 48000, bits=bits)
        # By themselves, float wav contains the second in which it was written, and Ogg a serial number drawn from it.
        time.sleep(1.1 if take == "first" else 0)
    for name, _ in formats:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name
        assert len(read_audio(tmp_path / "second" / name)[0]) == len(waveform)


def test_real_recordings_resample_to_the_wanted_rate(recordings):
    for path in recordings:
        waveform, rate = read_audio(path, sample_rate=32000)
        assert rate == 32000
        assert waveform.dtype == np.float32
        assert waveform.ndim == 1
        assert len(waveform) / 32000 == pytest.approx(rate_and_duration_of(path)[1], abs=1e-3)


def test_a_part_equals_the_part_of_the_whole(tmp_path):
    waveform = np.random.default_rng(0).uniform(-0.9, 0.9, 48000).astype(np.float32)
    write_audio(tmp_path / "sound.wav", waveform, 16000, bits=32)
    part, _ = read_audio(tmp_path / "sound.wav", start=0.5, duration=0.25)
    np.testing.assert_array_equal(part, waveform[8000:12000])
    rest, _ = read_audio(tmp_path / "sound.wav", start=2.75, duration=100)
    np.testing.assert_array_equal(rest, waveform[44000:])


def test_long_files_are_read_in_pieces_without_a_seam(tmp_path):
    waveform = np.random.default_rng(0).uniform(-0.9, 0.9, (2, (1 << 20) + 12345)).astype(np.float32)
    write_audio(tmp_path / "long.wav", waveform, 48000, bits=32)
    np.testing.assert_array_equal(read_channels(tmp_path / "long.wav")[0], waveform)
    np.testing.assert_allclose(read_audio(tmp_path / "long.wav")[0], waveform.mean(axis=0), atol=1e-7)


def test_resample_keeps_a_sine_and_removes_what_does_not_fit():
    low, high = chord(1, 48000)[0], np.sin(2 * np.pi * 10000 * np.arange(24000) / 48000).astype(np.float32)
    halved = resample(low, 48000, 16000)
    assert len(halved) == 8000
    np.testing.assert_allclose(halved[1000:-1000], chord(1, 16000)[0][1000:-1000], atol=1e-3)
    assert np.abs(resample(high, 48000, 16000)[1000:-1000]).max() < 1e-3


def test_resample_treats_channels_alike():
    waveform = chord(8, 96000)
    together = resample(waveform, 96000, 32000)
    for channel, row in zip(waveform, together, strict=True):
        np.testing.assert_array_equal(resample(channel, 96000, 32000), row)


def test_peak_normalise():
    waveform = chord(1, 16000)[0]
    for scale in (0.001, 1.0, 30.0):
        assert np.abs(peak_normalise(scale * waveform)).max() == pytest.approx(10 ** (-1 / 20), rel=1e-5)
    np.testing.assert_array_equal(peak_normalise(np.zeros(100, np.float32)), np.zeros(100))


def broken_files(folder):
    write_audio(folder / "whole.wav", chord(1, 44100), 44100)
    write_audio(folder / "whole.flac", chord(1, 44100), 44100)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 44100).astype(np.float32)
    write_audio(folder / "whole.ogg", noise, 44100)
    write_audio(folder / "whole.opus", noise, 48000)
    soundfile.write(folder / "whole.mp3", noise, 44100)
    for whole in sorted(folder.glob("whole.*")):
        (folder / f"truncated{whole.suffix}").write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
        whole.unlink()
    (folder / "text.wav").write_text("Dear diary, this is no sound at all.\n" * 20)
    (folder / "text.mp3").write_text("Dear diary, this is no sound at all.\n" * 20)
    (folder / "headerless.raw").write_bytes(bytes(1000))
    (folder / "zero bytes.wav").touch()
    soundfile.write(folder / "no samples.wav", np.zeros(0), 44100)
    for name, value in (("nan", np.nan), ("infinite", -np.inf)):
        soundfile.write(folder / f"{name}.wav", np.array([0.0, value, 0.5]), 44100, subtype="FLOAT")
    (folder / "folder.wav").mkdir()
    return [*sorted(folder.iterdir()), folder / "missing.wav"]


def test_every_broken_file_is_named_in_one_line(tmp_path):
    files = broken_files(tmp_path)
    assert len(files) == 14
    for path in files:
        with pytest.raises(ClapgenError) as caught:
            read_audio(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("truncated.wav", "truncated"), ("truncated.mp3", "truncated"), ("nan.wav", "NaN"), ("no samples.wav", "zero")],
)
def test_the_reason_is_given(tmp_path, name, reason):
    broken_files(tmp_path)
    with pytest.raises(ClapgenError, match=reason):
        read_audio(tmp_path / name)


def test_a_streamed_wav_without_a_length_is_read(tmp_path):
    write_audio(tmp_path / "sound.wav", chord(1, 16000), 16000)
    content = bytearray((tmp_path / "sound.wav").read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"  # what ffmpeg writes into a pipe
    (tmp_path / "piped.wav").write_bytes(content)
    np.testing.assert_array_equal(read_audio(tmp_path / "piped.wav")[0], read_audio(tmp_path / "sound.wav")[0])


def test_eight_channels_at_96_khz_become_mono_at_32_khz(tmp_path):
    write_audio(tmp_path / "array.wav", chord(8, 96000), 96000, bits=24)
    waveform, rate = read_audio(tmp_path / "array.wav", sample_rate=32000)
    assert (rate, waveform.shape) == (32000, (16000,))
    expected = chord(8, 32000).mean(axis=0)
    np.testing.assert_allclose(waveform[500:-500], expected[500:-500], atol=1e-3)


def test_a_file_too_short_for_the_wanted_rate_is_an_error(tmp_path):
    write_audio(tmp_path / "click.wav", np.array([0.5]), 48000)
    assert len(read_audio(tmp_path / "click.wav")[0]) == 1
    with pytest.raises(ClapgenError, match="too short"):
        read_audio(tmp_path / "click.wav", sample_rate=8000)


@pytest.mark.parametrize("start", [0.5, 7.0, -1.0])
def test_a_start_outside_the_file_is_an_error(tmp_path, start):
    write_audio(tmp_path / "sound.wav", chord(1, 16000), 16000)
    with pytest.raises(ClapgenError, match=r"sound\.wav"):
        read_audio(tmp_path / "sound.wav", start=start)


@pytest.mark.parametrize(
    ("name", "waveform", "bits", "reason"),
    [
        ("a.wav", np.zeros(0), None, "no samples"),
        ("a.wav", np.array([0.0, np.nan]), None, "NaN"),
        ("a.wav", np.zeros((2, 2, 2)), None, "shape"),
        ("a.m4a", np.zeros(10), None, r"\.flac"),
        ("a", np.zeros(10), None, r"\.wav"),
        ("a.flac", np.zeros(10), 32, "16, 24"),
        ("a.wav", np.zeros(10), 8, "16, 24, 32"),
        ("a.ogg", np.zeros(10), 16, "lossy"),
        ("a.flac", np.zeros((9, 10)), None, "9 channels"),
    ],
)
def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path, name, waveform, bits, reason):
    with pytest.raises(ClapgenError, match=reason):
        write_audio(tmp_path / name, waveform, 16000, bits=bits)
    assert list(tmp_path.iterdir()) == []


def test_loud_samples_are_clipped_not_wrapped(tmp_path):
    write_audio(tmp_path / "loud.wav", np.array([-3.0, -1.0, 0.0, 1.0, 3.0]), 16000)
    read, _ = read_audio(tmp_path / "loud.wav")
    np.testing.assert_allclose(read, [-1, -1, 0, 1, 1], atol=2**-15)


def test_an_existing_file_stays_unless_told(tmp_path):
    path = tmp_path / "sound.wav"
    write_audio(path, np.zeros(10), 16000)
    before = path.read_bytes()
    with pytest.raises(ClapgenError, match="already exists"):
        write_audio(path, np.ones(20), 16000)
    assert path.read_bytes() == before
    write_audio(path, np.ones(20), 16000, overwrite=True)
    assert len(read_audio(path)[0]) == 20


def test_find_audio(tmp_path):
    (tmp_path / "inner").mkdir()
    wanted = [tmp_path / "b.WAV", tmp_path / "inner" / "a.opus", tmp_path / "inner" / "c.flac"]
    for path in [*wanted, tmp_path / "notes.txt", tmp_path / ".hidden.wav", tmp_path / "inner" / "._mac.wav"]:
        path.touch()
    assert find_audio([tmp_path]) == sorted(wanted)
    assert find_audio([wanted[2], tmp_path])[0] == wanted[2]
    assert len(find_audio([wanted[2], tmp_path])) == 3
    with pytest.raises(ClapgenError, match="gone"):
        find_audio([tmp_path / "gone"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ClapgenError, match="no audio"):
        find_audio([tmp_path / "empty"])
    assert {".wav", ".flac", ".ogg", ".opus", ".mp3"} <= AUDIO_SUFFIXES


def test_ctrl_c_while_a_sound_is_encoded_is_not_lost(tmp_path, monkeypatch):
    class Interrupted(io.BytesIO):
        def write(self, data):
            signal.raise_signal(signal.SIGINT)
            return super().write(data)

    monkeypatch.setattr("clapgen.audio.writing.io.BytesIO", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_audio(tmp_path / "sound.flac", chord(1, 32000), 32000)
    assert list(tmp_path.iterdir()) == []
