"""Strong labels: what sounds when in a recording, from manifests and from the tables that people have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clapgen.data.manifest import read_manifest
from clapgen.data.tables import table_rows
from clapgen.data.text import label_key, readable_label, shown
from clapgen.errors import ClapgenError

# DCASE's tables have filename, onset, offset, event_label; ours have events of label, start and end or duration.
_LABEL = ("label", "event_label", "event", "class", "query", "caption")
_START = ("start", "onset", "start_time", "start_time_seconds", "begin")
_END = ("end", "offset", "stop", "end_time", "end_time_seconds")
_DURATION = ("duration", "seconds", "length")
_PATH = ("path", "file_name", "filename", "file")


@dataclass(frozen=True)
class TimedLabel:
    """One event: its label as words, its start and end in seconds."""

    label: str
    start: float
    end: float


@dataclass(frozen=True)
class LabelledSound:
    """A file and everything that sounds in it; nothing is a valid answer.

    `also` are other labels that may be true of it: those of the whole file.
    """

    path: Path
    events: tuple[TimedLabel, ...]
    also: tuple[str, ...] = ()


def read_events(path: str | Path, split: str | None = None) -> list[LabelledSound]:
    """The sounds of a manifest or table with their events; relative paths are relative to its folder.

    - A manifest (.jsonl) whose lines have `events`: a list of objects with `label` (or event_label, class, …), `start`
      (or onset) and `end` (or offset, or `duration`). Lines without the key are ignored.
    - A table (.csv, .tsv) with one event per row: `filename`, `onset`, `offset`, `event_label`, as DCASE and DESED have
      it, or the names above. A row without label and times is a file without events.

    Args:
        split: only the lines of this split.

    Raises:
        ClapgenError: the file cannot be read, has no events, or one of them is malformed (named as file:line).
    """
    path = Path(path)
    sounds = _of_table(path, split) if path.suffix.lower() in (".csv", ".tsv") else _of_manifest(path, split)
    if not sounds:
        of_split = f" of split '{split}'" if split else ""
        raise ClapgenError(
            f'{path} has no sound{of_split} with events; a line needs "events": '
            '[{"label": "dog bark", "start": 1.2, "end": 2.0}, …].'
        )
    if not any(sound.events for sound in sounds):
        raise ClapgenError(f"no sound of {path} has an event; there is nothing to find.")
    return _same_names(sounds)


def _of_manifest(path: Path, split: str | None) -> list[LabelledSound]:
    sounds = []
    for clip in read_manifest(path):
        if "events" not in clip.extra or split not in (None, clip.split):
            continue
        given = clip.extra["events"]
        if not isinstance(given, list):
            raise ClapgenError(f'{path}: {clip.path.name}: "events" must be a list of objects, not {shown(given)}.')
        events = tuple(_event(each, f"{path}: {clip.path.name}") for each in given)
        sounds.append(LabelledSound(clip.path, events, tuple(clip.labels)))
    return sounds


def _of_table(path: Path, split: str | None) -> list[LabelledSound]:
    events: dict[Path, list[TimedLabel]] = {}
    for where, row in table_rows(path, (_PATH, _LABEL, _START)):
        if split is not None and row.get("split") != split:
            continue
        name = _first(row, _PATH)
        if not isinstance(name, str) or not name.strip():
            raise ClapgenError(f"{where}: no file name; fill it in.")
        own = events.setdefault(path.parent.absolute() / name.strip(), [])
        if str(_first(row, _LABEL) or "").strip() or str(_first(row, _START) or "").strip():
            own.append(_event(row, where))
    return [LabelledSound(file, tuple(own)) for file, own in events.items()]


def _event(given: Any, where: str) -> TimedLabel:
    if not isinstance(given, Mapping):
        raise ClapgenError(f"{where}: an event must be an object with label, start and end, not {shown(given)}.")
    label = _first(given, _LABEL)
    if not isinstance(label, str) or not label.strip():
        raise ClapgenError(f'{where}: an event needs a label, such as "label": "dog bark".')
    start = _seconds(given, _START, where)
    end = _seconds(given, _END, where)
    if end is None and start is not None:
        duration = _seconds(given, _DURATION, where)
        end = None if duration is None else start + duration
    if start is None or end is None:
        raise ClapgenError(f"{where}: the event '{label[:60]}' needs a start, and an end or a duration, in seconds.")
    if start < 0:
        raise ClapgenError(f"{where}: the event '{label[:60]}' starts at {start:g} s; times count from 0.")
    if end <= start:
        raise ClapgenError(f"{where}: the event '{label[:60]}' lasts from {start:g} to {end:g} s; it must end later.")
    return TimedLabel(readable_label(label), start, end)


def _seconds(given: Mapping[str, Any], names: tuple[str, ...], where: str) -> float | None:
    value = _first(given, names)
    if value is None or value == "":
        return None
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise ClapgenError(f"{where}: {names[0]} must be a number of seconds, not {shown(value)}.")
    return seconds


def _first(given: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((given[name] for name in names if given.get(name) is not None), None)


def _same_names(sounds: list[LabelledSound]) -> list[LabelledSound]:
    """Labels that differ only in case or underscores get one name."""
    names: dict[str, str] = {}
    return [
        replace(
            sound,
            events=tuple(
                replace(event, label=names.setdefault(label_key(event.label), event.label)) for event in sound.events
            ),
        )
        for sound in sounds
    ]
