"""Groups of duplicates: exact copies, re-encodings, parts; different recordings of one kind stay apart."""

import numpy as np
import pytest
from synthetic_sounds import RATE, sound

from clapgen.audio import write_audio
from clapgen.fingerprints import duplicate_groups, find_duplicates, fingerprint
from clapgen.testing.disturbances import encoded


def test_files_are_grouped_with_score_and_offset(tmp_path):
    rain, wind = sound("rain", 1), sound("wind", 1)
    write_audio(tmp_path / "rain.wav", rain, RATE)
    (tmp_path / "copy.wav").write_bytes((tmp_path / "rain.wav").read_bytes())
    (tmp_path / "part.mp3").write_bytes(encoded(rain[RATE : 3 * RATE] * 0.5, RATE, "mp3")[0])
    write_audio(tmp_path / "other-rain.wav", sound("rain", 2), RATE)
    write_audio(tmp_path / "wind.wav", wind, RATE)
    (tmp_path / "wind.opus").write_bytes(encoded(wind, RATE, "opus")[0])
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    done = []
    names = ("rain.wav", "copy.wav", "part.mp3", "other-rain.wav", "wind.wav", "wind.opus", "broken.wav")
    groups, skipped = find_duplicates([tmp_path / name for name in names], advance=done.append)
    assert sum(done) == 6
    assert [path.name for path, _ in skipped] == ["broken.wav"]
    first, second = groups
    assert first.key.name == "rain.wav"
    copy, part = first.members
    assert (copy.key.name, copy.exact, copy.score, copy.offset_seconds) == ("copy.wav", True, None, 0)
    assert (part.key.name, part.of, part.exact) == ("part.mp3", first.key, False)
    assert part.offset_seconds == pytest.approx(1, abs=0.06)
    assert part.seconds == pytest.approx(2, abs=0.3)
    assert {second.key.name, *(member.key.name for member in second.members)} == {"wind.wav", "wind.opus"}


def test_recordings_that_share_a_mix_are_one_group():
    """Each member names the recording that it matches."""
    one, two, alone = (fingerprint(sound(kind, 1), RATE) for kind in ("rain", "wind", "birds"))
    mix = fingerprint(np.concatenate([sound("rain", 1), sound("wind", 1)]), RATE)
    [group] = duplicate_groups({"one": one, "two": two, "alone": alone, "mix": mix})
    assert group.key == "mix"
    members = {member.key: member for member in group.members}
    assert {key: (member.of, round(member.offset_seconds, 1)) for key, member in members.items()} == {
        "one": ("mix", 0.0),
        "two": ("mix", 4.0),
    }


def test_exact_copies_need_one_fingerprint_or_none():
    rain = fingerprint(sound("rain", 1), RATE)
    contents = {"a": "same", "b": "same", "c": "unread", "d": "unread", "e": "single"}
    groups = duplicate_groups({"b": rain, "e": fingerprint(sound("rain", 2), RATE)}, contents)
    assert [(group.key, [member.key for member in group.members]) for group in groups] == [("a", ["b"]), ("c", ["d"])]


def test_nothing_to_group():
    assert duplicate_groups({}) == []
    assert find_duplicates([]) == ([], [])
