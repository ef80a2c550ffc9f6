"""Sound files as people have them are read whole, or refused in one true sentence."""

import io
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from made_files import (
    RATE,
    SECONDS,
    by_ffmpeg,
    edited,
    encode,
    joined,
    mp3,
    of_length,
    ogg,
    opus,
    piped_flac,
    sound,
    wav,
)

from clapgen.audio.decoding import open_reader
from clapgen.audio.reading import rate_and_duration_of, read_audio, stream_audio
from clapgen.errors import ClapgenError

KINDS: dict[str, tuple[Callable[[Path], Path], float]] = {
    "mp3 with its length": (lambda folder: mp3(folder / "a.mp3"), SECONDS),
    "mp3 without its length": (lambda folder: mp3(folder / "a.mp3", xing=False), SECONDS),
    "joined mp3": (joined(["a.mp3", "b.mp3"], mp3), 2 * SECONDS),
    "joined mp3 without lengths": (joined(["a.mp3", "b.mp3"], lambda path: mp3(path, xing=False)), 2 * SECONDS),
    "chained opus": (joined(["a.opus", "b.opus", "c.opus"], opus), 3 * SECONDS),
    "chained vorbis": (joined(["a.ogg", "b.ogg"], ogg), 2 * SECONDS),
    "flac": (lambda folder: encode(folder / "a.flac", "flac"), SECONDS),
    "flac from a pipe": (piped_flac, SECONDS),
    "m4a": (lambda folder: encode(folder / "a.m4a", "aac"), SECONDS),
    "mp4": (lambda folder: encode(folder / "a.mp4", "aac"), SECONDS),
    "aac without a container": (lambda folder: encode(folder / "a.aac", "aac", "adts"), SECONDS),
    "webm": (lambda folder: encode(folder / "a.webm", "libopus", "webm", rate=48000), SECONDS),
    "wav of length zero": (of_length(lambda size: 0), SECONDS),
    "wav two bytes short": (of_length(lambda size: size + 2), SECONDS),
    "wav of unknown length": (of_length(lambda size: 0xFFFFFFFF), SECONDS),
    "u-law wav": (lambda folder: encode(folder / "a.wav", "pcm_mulaw", "wav"), SECONDS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_is_read_whole_and_as_ffmpeg_decodes_it(tmp_path: Path, kind: str) -> None:
    make, seconds = KINDS[kind]
    path = make(tmp_path)
    waveform, rate = read_audio(path)
    assert len(waveform) / rate == pytest.approx(seconds, abs=0.11)  # encoders pad
    expected = by_ffmpeg(path)
    assert len(waveform) == len(expected)
    np.testing.assert_allclose(waveform, expected, atol=1e-3)
    assert rate_and_duration_of(path)[0] == rate
    assert rate_and_duration_of(path)[1] == pytest.approx(len(waveform) / rate, abs=0.06)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_is_the_same_by_path_as_bytes_through_a_pipe_and_in_pieces(tmp_path: Path, kind: str) -> None:
    path = KINDS[kind][0](tmp_path)
    expected, rate = read_audio(path, 32000)
    assert rate == 32000
    np.testing.assert_array_equal(read_audio(path.read_bytes(), 32000)[0], expected)
    with open(path, "rb") as file:
        np.testing.assert_array_equal(read_audio(file, 32000)[0], expected)
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        np.testing.assert_array_equal(read_audio(process.stdout, 32000)[0], expected)
    pieces = list(stream_audio(path, 32000, seconds=0.7))
    assert {len(piece) for piece in pieces[:-1]} == {22400}
    np.testing.assert_array_equal(np.concatenate(pieces), expected)


def test_a_video_is_read_by_its_sound_and_one_without_sound_is_refused(tmp_path: Path) -> None:
    for name, with_sound in (("a.mp4", True), ("b.mp4", False)):
        with av.open(str(tmp_path / name), "w") as out:
            video = out.add_stream("mpeg4", rate=10)
            video.width = video.height = 16
            audio = out.add_stream("aac", rate=RATE, layout="mono") if with_sound else None
            for _ in range(10):
                out.mux(video.encode(av.VideoFrame(16, 16, "yuv420p")))
            out.mux(video.encode(None))
            if audio:
                frame = av.AudioFrame.from_ndarray(sound(1.0)[None], "fltp", "mono")
                frame.sample_rate = RATE
                out.mux(audio.encode(frame))
                out.mux(audio.encode(None))
    waveform, rate = read_audio(tmp_path / "a.mp4")
    assert len(waveform) / rate == pytest.approx(1.0, abs=0.1)
    with pytest.raises(ClapgenError, match=r"b\.mp4 has no audio track"):
        read_audio(tmp_path / "b.mp4")


def test_a_file_of_ambiguous_name_is_read(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9 \x1b[31m.wav"  # neither UTF-8 nor harmless
    wav(tmp_path / "a.wav").rename(os.fsdecode(name))
    assert len(read_audio(os.fsdecode(name))[0]) == round(SECONDS * RATE)


@pytest.mark.parametrize(
    ("cut", "make"),
    [
        (0.5, lambda folder: wav(folder / "a.wav")),
        (0.5, lambda folder: encode(folder / "a.flac", "flac")),
        (0.5, lambda folder: mp3(folder / "a.mp3")),
        (0.5, lambda folder: encode(folder / "a.m4a", "aac")),
    ],
)
def test_a_truncated_file_is_refused(tmp_path: Path, cut: float, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    path.write_bytes(path.read_bytes()[: int(cut * path.stat().st_size)])
    with pytest.raises(ClapgenError, match=r"truncated|not audio that can be read"):
        read_audio(path)


def test_a_wav_that_claims_days_is_refused_without_taking_memory(tmp_path: Path) -> None:
    path = edited(wav(tmp_path / "days.wav"), 40, 0x7FFF0000)
    with pytest.raises(ClapgenError, match=r"days\.wav is truncated"):
        read_audio(path)


@pytest.mark.slow
def test_a_small_file_that_holds_hours_is_refused_by_its_length(tmp_path: Path) -> None:
    path = tmp_path / "hours.flac"
    soundfile.write(path, np.zeros(8000 * 3600, dtype=np.int16), 8000)
    assert path.stat().st_size < 500_000
    with pytest.raises(ClapgenError, match=r"hours\.flac is longer than 0\.5 h"):
        read_audio(path, max_seconds=1800)
    assert len(read_audio(path, max_seconds=3600)[0]) == 8000 * 3600


def test_channels_that_cancel_are_not_silence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    left = sound()
    soundfile.write(tmp_path / "a.wav", np.stack([0.5 * left, -0.499 * left], axis=1), RATE, subtype="FLOAT")
    waveform, _ = read_audio(tmp_path / "a.wav")
    np.testing.assert_array_equal(waveform, 0.5 * left)
    assert "a.wav: its channels cancel each other when mixed; using channel 1 alone" in caplog.text
    caplog.clear()
    soundfile.write(tmp_path / "b.wav", np.stack([0.5 * left, -0.1 * left], axis=1), RATE, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "b.wav")[0], 0.2 * left, atol=1e-6)
    assert not caplog.text


def test_a_chain_that_changes_its_rate_is_refused_where_it_does(tmp_path: Path) -> None:
    first, second = ogg(tmp_path / "a.ogg"), ogg(tmp_path / "b.ogg", rate=22050)
    (tmp_path / "both.ogg").write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(ClapgenError, match=r"both\.ogg is damaged, or changes its format, at 2\.\d\d s"):
        read_audio(tmp_path / "both.ogg")


def test_uncompressed_files_are_left_to_libsndfile(tmp_path: Path) -> None:
    with open_reader(wav(tmp_path / "a.wav")) as reader:
        assert type(reader).__name__ == "UncompressedReader"
    content = io.BytesIO((tmp_path / "a.wav").read_bytes())
    with open_reader(content) as reader:
        assert reader.seconds() == SECONDS


@pytest.mark.parametrize(("option", "value"), [("start", float("nan")), ("duration", "5"), ("start", True)])
def test_a_part_that_is_no_number_is_refused(tmp_path: Path, option: str, value: object) -> None:
    with pytest.raises(ClapgenError, match=f"{option} must be a number of seconds"):
        read_audio(wav(tmp_path / "a.wav"), **{option: value})  # type: ignore[arg-type]
