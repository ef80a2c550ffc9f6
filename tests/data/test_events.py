"""Strong labels are read as people write them."""

import json
from pathlib import Path

import pytest

from clapgen.data.events import TimedLabel, read_events
from clapgen.errors import ClapgenError

BARK = TimedLabel("dog bark", 1.0, 2.5)


def manifest(folder: Path, *lines: dict) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize(
    "event",
    [
        {"label": "dog_bark", "start": 1, "end": 2.5},
        {"label": "dog bark", "start": 1.0, "duration": 1.5, "clip": 3, "gain_db": -6},
        {"event_label": "dog bark", "onset": "1.0", "offset": "2.5"},
        {"class": "dog bark", "start_time": 1, "end_time": 2.5},
    ],
)
def test_events_of_a_manifest(tmp_path: Path, event: dict) -> None:
    path = manifest(tmp_path, {"path": "a.wav", "events": [event], "labels": ["dog"]}, {"path": "b.wav"})
    [sound] = read_events(path)
    assert (sound.path, sound.events, sound.also) == (tmp_path / "a.wav", (BARK,), ("dog",))


def test_a_table_with_one_event_per_row(tmp_path: Path) -> None:
    (tmp_path / "dcase.tsv").write_text(
        "filename\tonset\toffset\tevent_label\na.wav\t1.0\t2.5\tdog_bark\na.wav\t3\t4\tDog Bark\nb.wav\t\t\t\n"
    )
    first, second = read_events(tmp_path / "dcase.tsv")
    assert first.events == (BARK, TimedLabel("dog bark", 3.0, 4.0))  # one name for both spellings
    assert second.path == tmp_path / "b.wav" and second.events == ()


def test_a_split_is_chosen(tmp_path: Path) -> None:
    event = [{"label": "dog bark", "start": 1, "end": 2.5}]
    path = manifest(
        tmp_path,
        {"path": "a.wav", "split": "train", "events": event},
        {"path": "b.wav", "split": "val", "events": event},
    )
    assert [sound.path.name for sound in read_events(path, "val")] == ["b.wav"]
    with pytest.raises(ClapgenError, match="no sound of split 'test' with events"):
        read_events(path, "test")


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ("dog", "must be a list"),
        (["dog"], "an event must be an object"),
        ([{"start": 1, "end": 2}], "needs a label"),
        ([{"label": " ", "start": 1, "end": 2}], "needs a label"),
        ([{"label": "dog", "start": 1}], "needs a start, and an end or a duration"),
        ([{"label": "dog", "start": 2, "end": 1}], "must end later"),
        ([{"label": "dog", "start": -1, "end": 1}], "starts at -1 s; times count from 0"),
        ([{"label": "dog", "start": "soon", "end": 1}], "must be a number of seconds"),
        ([{"label": "dog", "start": True, "end": 2}], "must be a number of seconds"),
        ([], "nothing to find"),
    ],
)
def test_a_malformed_event_is_named(tmp_path: Path, events: object, words: str) -> None:
    with pytest.raises(ClapgenError, match=words):
        read_events(manifest(tmp_path, {"path": "a.wav", "events": events}))


def test_a_manifest_without_events_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ClapgenError, match='"events"'):
        read_events(manifest(tmp_path, {"path": "a.wav"}))
