"""Sounds are written in every format, from integers too, with a comment inside that can be read back."""

import io
import json

import numpy as np
import pytest
import soundfile

from clapgen.audio import OUTPUT_SUFFIXES, as_float, read_audio, read_comment, write_audio
from clapgen.errors import ClapgenError

COMMENT = json.dumps({"prompt": "Regen – 雨", "seed": 3})


def sine(rate: int = 32000) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype(np.float32)


@pytest.mark.parametrize("suffix", OUTPUT_SUFFIXES)
def test_a_comment_is_kept_inside_the_file_and_changes_no_sample(tmp_path, suffix):
    write_audio(tmp_path / f"plain{suffix}", sine(), 32000)
    write_audio(tmp_path / f"told{suffix}", sine(), 32000, comment=COMMENT)
    assert read_comment(tmp_path / f"told{suffix}") == COMMENT
    assert read_comment(tmp_path / f"plain{suffix}") == ""
    plain, told = (read_audio(tmp_path / f"{name}{suffix}")[0] for name in ("plain", "told"))
    np.testing.assert_array_equal(plain, told)


@pytest.mark.parametrize("suffix", OUTPUT_SUFFIXES)
def test_the_same_sound_is_the_same_bytes_in_a_file_and_a_stream(tmp_path, suffix):
    stream = io.BytesIO()
    write_audio(stream, sine(), 32000, comment=COMMENT, suffix=suffix)
    write_audio(tmp_path / f"a{suffix}", sine(), 32000, comment=COMMENT)
    assert (tmp_path / f"a{suffix}").read_bytes() == stream.getvalue()
    assert len(read_audio(stream.getvalue(), 32000)[0]) == pytest.approx(32000, abs=2000)


def test_mp3_of_any_rate_is_written(tmp_path):
    write_audio(tmp_path / "a.mp3", sine(96000), 96000)
    waveform, rate = read_audio(tmp_path / "a.mp3")
    assert rate == 48000
    assert np.abs(waveform).max() == pytest.approx(0.5, abs=0.02)
    with pytest.raises(ClapgenError, match="lossy"):
        write_audio(tmp_path / "b.mp3", sine(), 32000, bits=24)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.int8, 2**-7), (np.uint8, 2**-7), (np.int16, 2**-15), (np.int32, 1e-6), (np.float64, 0)]
)
def test_integer_samples_are_scaled_by_their_full_scale(tmp_path, dtype, tolerance):
    exact = sine()
    if np.dtype(dtype).kind == "f":
        samples = exact.astype(dtype)
    else:
        scale = 2.0 ** (8 * np.dtype(dtype).itemsize - 1)
        samples = (np.round(exact.astype(np.float64) * scale) + (128 if dtype is np.uint8 else 0)).astype(dtype)
    np.testing.assert_allclose(as_float(samples), exact, atol=tolerance)
    write_audio(tmp_path / "a.wav", samples, 32000, bits=32)
    np.testing.assert_allclose(soundfile.read(tmp_path / "a.wav")[0], exact, atol=tolerance)


@pytest.mark.parametrize("samples", [np.ones(5, bool), np.ones(5, np.int64), np.ones(5, complex), ["a"]])
def test_samples_of_unknown_scale_are_refused(tmp_path, samples):
    with pytest.raises(ClapgenError, match="must hold float"):
        write_audio(tmp_path / "a.wav", samples, 32000)
    assert not list(tmp_path.iterdir())
