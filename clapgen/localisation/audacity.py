"""Label tracks of Audacity: one line per segment, its start, end and name, separated by tabs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from clapgen.localisation.locating import Located

# https://manual.audacityteam.org/man/importing_and_exporting_labels.html


def label_track(queries: Iterable[Located]) -> str:
    """The text of a label track of all segments, in order of their start. Times are in seconds."""
    rows = [(segment.start, segment.end, found.query) for found in queries for segment in found.segments]
    return "".join(f"{start:.6f}\t{end:.6f}\t{name}\n" for start, end, name in sorted(rows))


def write_label_track(queries: Sequence[Located], path: Path) -> None:
    """Write `label_track` as UTF-8, which Audacity imports with File > Import > Labels."""
    path.write_text(label_track(queries), encoding="utf-8")
