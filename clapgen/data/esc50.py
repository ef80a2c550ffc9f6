"""ESC-50 in the layout of its authors: 2,000 clips of 50 classes in five folds (Piczak 2015)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from clapgen.audio import AUDIO_SUFFIXES
from clapgen.data.manifest import Clip
from clapgen.data.tables import csv_rows
from clapgen.data.text import read_text, readable_label
from clapgen.errors import ClapgenError

_COLUMNS = ("filename", "fold", "category", "src_file")
_SPLITS = {"1": "train", "2": "train", "3": "train", "4": "val", "5": "test"}
_FREE = ("CC0", "CC-BY")
_SOURCE = re.compile(
    r"- \[(?P<name>[^\]]+)\.\w+\]:.*\((?P<url>https?://\S+)\) by (?P<author>.*) \[(?P<licence>[^\]]+)\]"
)
_LABELS = (
    "airplane, breathing, brushing teeth, can opening, car horn, cat, chainsaw, chirping birds, church bells, "
    "clapping, clock alarm, clock tick, coughing, cow, crackling fire, crickets, crow, crying baby, dog, door wood "
    "creaks, door wood knock, drinking sipping, engine, fireworks, footsteps, frog, glass breaking, hand saw, "
    "helicopter, hen, insects, keyboard typing, laughing, mouse click, pig, pouring water, rain, rooster, sea "
    "waves, sheep, siren, sneezing, snoring, thunderstorm, toilet flush, train, vacuum cleaner, washing machine, "
    "water drops, wind"
)
ESC50_LABELS = _LABELS.split(", ")


def read_esc50(folder: str | Path) -> tuple[list[Clip], list[str]]:
    """The clips of an ESC-50 folder with `meta/esc50.csv` and `audio/`, and the file names of those without audio.

    Audio may have been converted (flac, ogg, …): files are matched by name without suffix. See `esc50_clips`.

    Raises:
        ClapgenError: the folder has no such table, the table is malformed, or all of its audio is missing.
    """
    root = Path(folder)
    table = root / "meta" / "esc50.csv"
    if not table.is_file():
        raise ClapgenError(f"{root} is not ESC-50: there is no {table}; give the folder that has meta/ and audio/.")
    paths = sorted((root / "audio").iterdir()) if (root / "audio").is_dir() else []
    by_stem = {path.stem: path for path in paths if path.suffix.lower() in AUDIO_SUFFIXES}
    clips, missing = esc50_clips(table, by_stem.get)
    if not clips:
        raise ClapgenError(f"{root / 'audio'} holds none of the {len(missing)} clips listed in {table}.")
    return clips, missing


def esc50_clips(table: Path, find: Callable[[str], Path | None]) -> tuple[list[Clip], list[str]]:
    """The clips listed in an `esc50.csv`, and the file names of those that `find` (by name without suffix) cannot find.

    A clip's `extra` holds its `esc50_class` and its `fold`, 1 to 5. Folds 1 to 3 are "train", 4 is "val", 5 is "test".
    ESC-50 as a collection is CC BY-NC, but the file `LICENSE` in its folder gives the licence of every source clip:
    `free` follows the clip. Without that file only the clips of its subset ESC-10, which is CC BY, are free.

    Raises:
        ClapgenError: a column is missing, a row is incomplete, or a fold is not 1 to 5.
    """
    clips, missing = [], []
    sources = _sources(table.parent.parent / "LICENSE")
    for _, row in csv_rows(read_text(table), table, [(column,) for column in _COLUMNS]):
        if row["fold"] not in _SPLITS:
            raise ClapgenError(f"{table}: {row['filename']} is in fold {row['fold']!r}, not 1 to 5.")
        path = find(Path(row["filename"]).stem)
        if path is None:
            missing.append(row["filename"])
        else:
            clips.append(_clip(row, path, sources))
    return clips, missing


def _sources(licences: Path) -> dict[str, dict[str, str]]:
    """Licence, author and url of each source clip, by the name of its file without suffix."""
    lines = read_text(licences).splitlines() if licences.is_file() else []
    found = (match for line in lines if (match := _SOURCE.fullmatch(line.strip())))
    return {match["name"]: {key: match[key] for key in ("licence", "author", "url")} for match in found}


def _clip(row: dict[str, str], path: Path, sources: dict[str, dict[str, str]]) -> Clip:
    source = dict(sources.get(f"{row['fold']}-{row['src_file']}-{row.get('take', '')}", {}))
    if licence := source.pop("licence", None):
        free, licence = licence in _FREE, f"{licence} (source clip; the collection ESC-50 is CC-BY-NC-3.0)"
    else:
        free = row.get("esc10", "").strip().lower() == "true"
        licence = "CC-BY-3.0" if free else "CC-BY-NC-3.0"
    return Clip(
        path,
        labels=[readable_label(row["category"])],
        recording=f"freesound:{row['src_file']}",
        licence=licence,
        split=_SPLITS[row["fold"]],
        free=free,
        extra={"esc50_class": row["category"], "fold": int(row["fold"]), **source},
    )
