"""A recording is found again through codecs, gains, offsets, rates and noise; no other of its kind is taken for it."""

import numpy as np
import pytest
from synthetic_sounds import KINDS, RATE, sound

from clapgen.audio import read_audio, resample
from clapgen.errors import ClapgenError
from clapgen.fingerprints import SAME_RECORDING, Fingerprint, FingerprintIndex, fingerprint, fingerprint_file
from clapgen.testing.disturbances import CODECS, encoded, with_noise

PER_KIND = 3
IN_NOISE = [kind for kind in KINDS if kind != "birds"]  # short pure chirps drown


@pytest.fixture(scope="module")
def library() -> dict[tuple[str, int], np.ndarray]:
    return {(kind, seed): sound(kind, seed) for kind in KINDS for seed in range(PER_KIND)}


@pytest.fixture(scope="module")
def index(library) -> FingerprintIndex:
    index = FingerprintIndex()
    for key, waveform in library.items():
        index.add(key, fingerprint(waveform, RATE))
    return index


def second_of(waveform: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """One second from somewhere, and where."""
    start = int(np.random.default_rng(seed).integers(len(waveform) - RATE))
    return waveform[start : start + RATE], start / RATE


DISTURBANCES = {
    **{codec: lambda part, codec=codec: read_audio(encoded(part, RATE, codec)[0]) for codec in CODECS},
    "12 dB quieter": lambda part: (part / 4, RATE),
    "at 11025 Hz": lambda part: (resample(part, RATE, 11025), 11025),
    "white noise at 10 dB": lambda part: (with_noise(part, 10), RATE),
    "pink noise at 10 dB": lambda part: (with_noise(part, 10, pink=True), RATE),
}


@pytest.mark.parametrize("disturbance", DISTURBANCES)
def test_one_second_is_found_where_it_is_and_nothing_else(library, index, disturbance):
    found, wanted = set(), set()
    for number, (key, waveform) in enumerate(library.items()):
        part, start = second_of(waveform, number)
        changed, rate = DISTURBANCES[disturbance](part)
        if "noise" not in disturbance or key[0] in IN_NOISE:
            wanted.add((key, key))
        for match in index.matches(fingerprint(changed, rate)):
            found.add((key, match.key))
            assert match.score >= SAME_RECORDING
            assert match.offset_seconds == pytest.approx(start, abs=0.06)  # encoders delay
    assert {pair for pair in found if pair[0] != pair[1]} == set()  # precision 1
    assert len(found & wanted) / len(wanted) >= (0.9 if "noise" in disturbance else 1)


def test_real_recordings_match_themselves_alone(recordings):
    index = FingerprintIndex()
    for path in recordings:
        index.add(path, fingerprint_file(path))
    for path in recordings:
        waveform, rate = read_audio(path)
        decoded = read_audio(encoded(0.3 * waveform, rate, "mp3")[0])
        assert [match.key for match in index.matches(fingerprint(*decoded))] == [path]


def test_silence_constants_and_shortest_sounds_match_nothing(index):
    assert index.matches(fingerprint(np.zeros(RATE, np.float32), RATE)) == []
    silent = FingerprintIndex()
    for waveform in (np.zeros(2 * RATE), np.full(2 * RATE, 0.3), np.zeros(1)):
        silent.add(len(silent), fingerprint(waveform.astype(np.float32), RATE))
    for waveform in (np.zeros(RATE), np.full(RATE, 0.1), np.ones(1), np.ones(700)):
        assert silent.matches(fingerprint(waveform.astype(np.float32), RATE)) == []


def test_notes_of_one_pitch_are_different_recordings():
    """Tones that fade away have equal bits, which say nothing."""
    time = np.arange(3 * RATE) / RATE
    notes = [
        sum(
            np.exp(-time / decay) * level * np.sin(2 * np.pi * 175 * part * time)
            for part, level in enumerate(levels, 1)
        )
        for decay, levels in ((0.6, (1, 0.5, 0.3, 0.2)), (0.9, (0.6, 1, 0.2, 0.4)))
    ]
    index = FingerprintIndex()
    index.add("guitar", fingerprint(notes[0].astype(np.float32), RATE))
    assert index.matches(fingerprint(notes[1].astype(np.float32), RATE)) == []


def test_bytes_round_trip_and_size(library):
    for waveform in library.values():
        original = fingerprint(waveform, RATE)
        stored = original.to_bytes()
        again = Fingerprint.from_bytes(stored)
        for field in ("words", "masks", "peak_frames", "peak_bins"):
            assert np.array_equal(getattr(original, field), getattr(again, field))
        assert again.to_bytes() == stored
        assert len(stored) <= 380 * len(waveform) / RATE
    empty = fingerprint(np.zeros(10, np.float32), RATE)
    assert Fingerprint.from_bytes(empty.to_bytes()).to_bytes() == empty.to_bytes()


def test_damaged_and_unknown_bytes_are_refused(library):
    stored = fingerprint(library["rain", 0], RATE).to_bytes()
    for content in (b"", b"RIFF" + stored[4:], stored[:-1], stored + b"\0", stored[:-2] + b"\xff\xff"):
        with pytest.raises(ClapgenError, match="compute it again"):
            Fingerprint.from_bytes(content)
    with pytest.raises(ClapgenError, match="version 9"):
        Fingerprint.from_bytes(stored[:4] + b"\x09" + stored[5:])


def test_file_in_pieces_equals_the_whole_waveform(tmp_path, monkeypatch, library):
    from clapgen.audio import write_audio

    waveform = np.concatenate(
        [library[kind, seed] for kind in ("rain", "melody", "impacts") for seed in range(PER_KIND)]
    )
    path = tmp_path / "long.wav"
    write_audio(path, waveform, RATE, bits=24)
    whole = fingerprint(*read_audio(path))
    monkeypatch.setattr("clapgen.fingerprints.spectrum.PIECE", 64)
    assert fingerprint_file(path).to_bytes() == whole.to_bytes()


def test_recordings_added_later_are_found(library):
    index = FingerprintIndex()
    assert index.matches(fingerprint(library["rain", 0], RATE)) == []
    for seed in range(PER_KIND):
        index.add(seed, fingerprint(library["rain", seed], RATE))
        [match] = index.matches(fingerprint(library["rain", seed], RATE))
        assert (match.key, match.offset_seconds) == (seed, 0)
    assert len(index) == PER_KIND


def test_a_short_part_is_found_in_a_long_recording(library):
    """And the other way round, with a negative offset."""
    index = FingerprintIndex()
    mix = np.concatenate([library["wind", seed] for seed in range(PER_KIND)])
    index.add("mix", fingerprint(mix, RATE))
    index.add("part", fingerprint(library["wind", 2][:RATE], RATE))
    [_, match] = sorted(
        index.matches(fingerprint(library["wind", 2][:RATE], RATE)), key=lambda match: match.offset_seconds
    )
    assert match.key == "mix"
    assert match.offset_seconds == pytest.approx(8, abs=0.02)
    [whole, part] = index.matches(fingerprint(mix, RATE))
    assert (whole.key, part.key) == ("mix", "part")
    assert part.offset_seconds == pytest.approx(-8, abs=0.02)
    assert part.seconds == pytest.approx(1, abs=0.3)
