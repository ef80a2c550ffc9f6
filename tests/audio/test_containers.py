"""Less usual sound files: every encoding of uncompressed formats, tags, covers, joins, damage, cut ends, playlists."""

import io
import logging
import struct
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from made_files import RATE, SECONDS, by_ffmpeg, edited, encode, joined, mp3, ogg, sound, wav

from clapgen.audio.reading import rate_and_duration_of, read_audio, stream_audio
from clapgen.audio.waveform import resample
from clapgen.errors import ClapgenError

STEREO = np.stack([sound(), 0.5 * sound()], axis=1)


def check(path: Path, seconds: float = SECONDS) -> None:
    """It is read whole, and as FFmpeg decodes it."""
    waveform, rate = read_audio(path)
    expected = by_ffmpeg(path)
    assert len(waveform) == len(expected)
    np.testing.assert_allclose(waveform, expected, atol=1e-3)
    assert len(waveform) / rate == pytest.approx(seconds, abs=0.11)
    assert rate_and_duration_of(path)[1] == pytest.approx(len(waveform) / rate, abs=0.06)


ENCODINGS = [
    (suffix, container, subtype)
    for suffix, container, subtypes in (
        ("wav", "WAV", "PCM_U8 PCM_24 PCM_32 FLOAT DOUBLE ALAW ULAW IMA_ADPCM MS_ADPCM"),
        ("wav", "WAVEX", "PCM_U8 PCM_16 PCM_24 FLOAT DOUBLE ULAW"),
        ("wav", "RF64", "PCM_16 PCM_24 FLOAT"),
        ("w64", "W64", "PCM_16 PCM_24 FLOAT MS_ADPCM"),
        ("aiff", "AIFF", "PCM_S8 PCM_16 PCM_24 FLOAT DOUBLE ALAW IMA_ADPCM"),
        ("au", "AU", "PCM_S8 PCM_16 PCM_24 FLOAT ULAW"),
        ("caf", "CAF", "PCM_16 PCM_24 FLOAT ALAW"),
        ("flac", "FLAC", "PCM_S8 PCM_16 PCM_24"),
    )
    for subtype in subtypes.split()
]


@pytest.mark.parametrize(("suffix", "container", "subtype"), ENCODINGS)
def test_every_encoding_of_uncompressed_files(tmp_path: Path, suffix: str, container: str, subtype: str) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, STEREO, RATE, subtype=subtype, format=container)
    check(path)


@pytest.mark.parametrize(("suffix", "container"), [("wav", "WAV"), ("w64", "W64"), ("aiff", "AIFF")])
def test_what_libsndfile_cannot_seek_in_is_read(tmp_path: Path, suffix: str, container: str) -> None:
    path = tmp_path / f"gsm.{suffix}"
    soundfile.write(path, sound(), RATE, subtype="GSM610", format=container)
    check(path)


@pytest.mark.parametrize("channels", [3, 6, 32, 100])
def test_many_channels(tmp_path: Path, channels: int) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([sound() * (i + 1) / channels for i in range(channels)], 1), RATE)
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav")[0], sound() * (channels + 1) / 2 / channels, atol=1e-4)


@pytest.mark.parametrize("rate", [100, 4000, 384000])
def test_very_low_and_high_rates(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", sound(rate=rate, hz=20), rate)
    check(tmp_path / "a.wav")
    assert len(read_audio(tmp_path / "a.wav", 32000)[0]) == SECONDS * 32000


def chunks_of(path: Path) -> tuple[bytes, bytes]:
    """The fmt and the data chunk of a wav file."""
    content = wav(path).read_bytes()
    return content[12:36], content[36:]


def riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


ODD = b"LIST" + struct.pack("<I", 13) + b"INFOISFTaaaaa\0"  # 13 bytes and the padding
WAVS: dict[str, Callable[[bytes, bytes], bytes]] = {
    "a chunk of odd length before": lambda form, data: riff(form, ODD, data),
    "a chunk of odd length after": lambda form, data: riff(form, data, ODD),
    "an odd number of bytes": lambda form, data: riff(form, b"data" + struct.pack("<I", len(data) - 9) + data[8:-1]),
    "an ID3 tag after": lambda form, data: riff(form, data) + b"ID3" + bytes(100),
    "zeros after": lambda form, data: riff(form, data) + bytes(10_000),
    "a total length of zero": lambda form, data: b"RIFF\0\0\0\0" + riff(form, data)[8:],
}


@pytest.mark.parametrize("kind", WAVS)
def test_wavs_as_other_programs_write_them(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "other.wav"
    path.write_bytes(WAVS[kind](*chunks_of(tmp_path / "a.wav")))
    check(path)
    waveform = read_audio(path)[0]
    np.testing.assert_allclose(waveform, read_audio(tmp_path / "a.wav")[0][: len(waveform)], atol=1e-6)


def id3(size: int = 20_000) -> bytes:
    """An ID3 tag with a cover picture."""
    picture = b"\0image/png\0\x03\0" + b"\x89PNG\r\n\x1a\n" + np.random.default_rng(0).bytes(size)
    frame = b"APIC" + struct.pack(">I", len(picture)) + b"\0\0" + picture
    length = len(frame)
    return b"ID3\x03\0\0" + bytes((length >> shift) & 127 for shift in (21, 14, 7, 0)) + frame


def flac_with_cover(folder: Path) -> bytes:
    content = encode(folder / "a.flac", "flac").read_bytes()
    picture = struct.pack(">II", 3, 9) + b"image/png" + bytes(20) + struct.pack(">I", 5000) + bytes(5000)
    return content[:42] + b"\6" + len(picture).to_bytes(3, "big") + picture + content[42:]


NOISE = np.random.default_rng(1).bytes(700)
TAGGED: dict[str, tuple[str, Callable[[Path], bytes], float]] = {
    "mp3 with a cover": ("mp3", lambda folder: id3() + mp3(folder / "a.mp3").read_bytes(), SECONDS),
    "mp3 with two tags": ("mp3", lambda folder: id3(99) + id3(99) + mp3(folder / "a.mp3").read_bytes(), SECONDS),
    "mp3 with a tag at its end": (
        "mp3",
        lambda folder: mp3(folder / "a.mp3").read_bytes() + b"TAG" + 125 * b"x",
        SECONDS,
    ),
    "mp3 without its length, with a cover": (
        "mp3",
        lambda folder: id3() + mp3(folder / "a.mp3", xing=False).read_bytes(),
        SECONDS,
    ),
    "mp3 after noise": ("mp3", lambda folder: NOISE + mp3(folder / "a.mp3", xing=False).read_bytes(), SECONDS),
    "flac with a cover": ("flac", flac_with_cover, SECONDS),
    "flac after a tag": ("flac", lambda folder: id3(99) + encode(folder / "a.flac", "flac").read_bytes(), SECONDS),
    "aac after noise": ("aac", lambda folder: NOISE + encode(folder / "a.aac", "aac", "adts").read_bytes(), SECONDS),
    "aac after a tag": ("aac", lambda folder: id3() + encode(folder / "a.aac", "aac", "adts").read_bytes(), SECONDS),
    "ogg before zeros": ("ogg", lambda folder: ogg(folder / "a.ogg").read_bytes() + bytes(1000), SECONDS),
}


@pytest.mark.parametrize("kind", TAGGED)
def test_tags_covers_and_noise_around_a_sound(tmp_path: Path, kind: str) -> None:
    suffix, make, seconds = TAGGED[kind]
    path = tmp_path / f"tagged.{suffix}"
    path.write_bytes(make(tmp_path))
    check(path, seconds)


@pytest.mark.parametrize("xing", [True, False])
def test_joined_mp3s_with_a_tag_between_are_read_whole(tmp_path: Path, xing: bool) -> None:
    """FFmpeg's own decoding stops at the second tag, and its guess of the length is wrong."""
    one = mp3(tmp_path / "a.mp3", xing).read_bytes()
    (tmp_path / "joined.mp3").write_bytes(id3(99) + one + id3(99) + one)
    waveform, rate = read_audio(tmp_path / "joined.mp3")
    assert len(waveform) / rate == pytest.approx(2 * SECONDS, abs=0.1)
    assert rate_and_duration_of(tmp_path / "joined.mp3")[1] == pytest.approx(len(waveform) / rate)
    last = waveform[-len(sound()) :]
    assert np.corrcoef(np.abs(last), np.linspace(0, 1, len(last)))[0, 1] > 0.5  # it grows louder as the sound does


@pytest.mark.parametrize(("codec", "container"), [("libmp3lame", "mp3"), ("aac", "adts")])
def test_damage_in_the_middle_costs_little(tmp_path: Path, codec: str, container: str) -> None:
    path = encode(tmp_path / "a", codec, container, {"write_xing": "0"} if container == "mp3" else None)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(300) + content[len(content) // 2 :])
    waveform, rate = read_audio(path)
    assert len(waveform) / rate == pytest.approx(SECONDS, abs=0.11)


def test_joined_mp3s_of_different_rates_have_no_seam_at_every_frame(tmp_path: Path) -> None:
    first, second = mp3(tmp_path / "a.mp3", False), encode(tmp_path / "b.mp3", "libmp3lame", "mp3", rate=22050)
    (tmp_path / "both.mp3").write_bytes(first.read_bytes() + second.read_bytes())
    waveform, rate = read_audio(tmp_path / "both.mp3")
    assert (rate, len(waveform) / rate) == (RATE, pytest.approx(2 * SECONDS, abs=0.15))
    expected = resample(read_audio(second)[0], 22050, RATE)
    quiet = slice(-len(expected) // 2, -5000)
    shifts = [np.abs(waveform[quiet] - np.roll(expected, shift)[quiet]).max() for shift in range(-3000, 3000)]
    assert min(shifts) < 0.02


KINDS_WITH_A_LENGTH: dict[str, Callable[[Path], Path]] = {
    **{
        f"{suffix} of {subtype}": lambda folder, suffix=suffix, container=container, subtype=subtype: written(
            folder / f"a.{suffix}", container, subtype
        )
        for suffix, container, subtype in ENCODINGS
        if subtype in ("PCM_24", "MS_ADPCM") and suffix != "flac"
    },
    "alac": lambda folder: encode(folder / "a.m4a", "alac", "ipod"),
    "matroska": lambda folder: encode(folder / "a.mka", "ac3", "matroska"),
    "avi": lambda folder: encode(folder / "a.avi", "libmp3lame", "avi"),
    "tta": lambda folder: encode(folder / "a.tta", "tta", "tta"),
    "wavpack": lambda folder: encode(folder / "a.wv", "wavpack", "wv"),
    "vorbis": lambda folder: ogg(folder / "a.ogg"),
}


def written(path: Path, container: str, subtype: str) -> Path:
    soundfile.write(path, STEREO, RATE, subtype=subtype, format=container)
    return path


@pytest.mark.parametrize("kind", KINDS_WITH_A_LENGTH)
def test_no_file_that_states_its_length_is_silently_read_in_part(tmp_path: Path, kind: str) -> None:
    path = KINDS_WITH_A_LENGTH[kind](tmp_path)
    assert len(read_audio(path)[0]) / RATE == pytest.approx(SECONDS, abs=0.05)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ClapgenError, match=r"truncated|not audio that can be read|damaged"):
        read_audio(path)


@pytest.mark.parametrize(
    ("name", "codec", "container"),
    [("a.ac3", "ac3", "ac3"), ("a.eac3", "eac3", "eac3"), ("a.mp2", "mp2", "mp2"), ("a.ts", "aac", "mpegts")],
)
def test_streams_without_a_length(tmp_path: Path, name: str, codec: str, container: str) -> None:
    check(encode(tmp_path / name, codec, container))


def test_the_best_of_several_tracks_is_read(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "two.mka"), "w") as out:
        streams = [out.add_stream("pcm_s16le", rate=RATE, layout="mono") for _ in range(2)]
        for stream, hz in zip(streams, (330, 1000), strict=True):
            samples = (sound(hz=hz) * 32767).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
            frame.sample_rate = RATE
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    waveform, _ = read_audio(tmp_path / "two.mka")
    np.testing.assert_allclose(waveform, sound(), atol=1e-4)  # not both of them


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile '{path}'\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{path}\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
        "Dear diary, this is no sound at all.\n" * 20,
    ],
)
def test_a_playlist_called_a_sound_opens_nothing_else(tmp_path: Path, text: str) -> None:
    (tmp_path / "list.mp3").write_text(text.format(path=wav(tmp_path / "a.wav")))
    started = time.monotonic()
    with pytest.raises(ClapgenError, match=r"list\.mp3 is not audio that can be read"):
        read_audio(tmp_path / "list.mp3")
    assert time.monotonic() - started < 5  # it waits for no network


@pytest.mark.parametrize("source", [None, 3, np.zeros(5), io.StringIO("text")])
def test_what_is_no_source_is_named(source: object) -> None:
    with pytest.raises(ClapgenError, match="a path, bytes or a binary file object"):
        read_audio(source)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [1e20, np.nan, -np.inf])
def test_impossible_samples_are_refused_whole_and_in_pieces(tmp_path: Path, value: float) -> None:
    samples = np.zeros(40_000)
    samples[-1] = value
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    for read in (read_audio, lambda path: list(stream_audio(path, 32000, 0.1))):
        with pytest.raises(ClapgenError, match=r"a\.wav contains (samples of up to .*e\+|NaN or infinite)"):
            read(tmp_path / "a.wav")


def test_channels_that_cancel_only_later_lose_nothing_and_use_bounded_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Decided block by block, so that a long file need not be held, and pieces equal the whole."""
    left = np.tile(sound(1.0), 30)
    right = np.where(np.arange(len(left)) < len(left) // 2, left, -left)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), RATE, subtype="FLOAT")
    with caplog.at_level(logging.WARNING):
        whole, _ = read_audio(tmp_path / "a.wav")
    assert len(caplog.messages) == 1
    np.testing.assert_array_equal(np.concatenate(list(stream_audio(tmp_path / "a.wav"))), whole)
    seconds = np.sqrt(np.square(whole).reshape(30, -1).mean(1))
    assert seconds[0] == pytest.approx(seconds[-1], rel=1e-3)


RATES = [8000, 22050, 44100, 48000, 96000]


@pytest.mark.parametrize("from_rate", RATES)
@pytest.mark.parametrize("to_rate", [16000, 32000, 44101])
def test_a_constant_offset_stays_one_at_every_rate_and_in_pieces(tmp_path: Path, from_rate: int, to_rate: int) -> None:
    constant = np.full(round(0.3 * from_rate), 0.3, dtype=np.float32)
    np.testing.assert_allclose(resample(constant, from_rate, to_rate), 0.3, atol=1e-6)
    soundfile.write(tmp_path / "a.wav", constant, from_rate, subtype="FLOAT")
    pieces = np.concatenate(list(stream_audio(tmp_path / "a.wav", to_rate, 0.07)))
    np.testing.assert_allclose(pieces, 0.3, atol=1e-6)
    np.testing.assert_array_equal(pieces, read_audio(tmp_path / "a.wav", to_rate)[0])
    assert len(pieces) == pytest.approx(0.3 * to_rate, abs=1)


def test_too_long_a_sound_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    soundfile.write(path, np.zeros(8000 * 600, dtype=np.int16), 8000)
    with pytest.raises(ClapgenError, match=r"longer than 0\.1 h, the most that is read; raise the limit \(--max-hours"):
        list(stream_audio(path, 32000, max_seconds=360))
    edited(path, 22, 0)  # no length
    with pytest.raises(ClapgenError, match=r"longer than 0\.1 h"):
        rate_and_duration_of(path, max_seconds=360)


def test_joined_flacs_are_read_whole(tmp_path: Path) -> None:
    path = joined(["a.flac", "b.flac"], lambda path: encode(path, "flac"))(tmp_path)
    assert len(read_audio(path)[0]) / RATE == pytest.approx(2 * SECONDS, abs=0.1)
