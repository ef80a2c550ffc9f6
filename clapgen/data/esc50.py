"""ESC-50 as its authors lay it out: 2,000 clips of 50 classes in five folds (Piczak 2015)."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from clapgen.audio import AUDIO_SUFFIXES
from clapgen.data.manifest import Clip
from clapgen.data.text import read_text
from clapgen.errors import ClapgenError

_COLUMNS = ("filename", "fold", "category", "src_file")
_SPLITS = {"1": "train", "2": "train", "3": "train", "4": "val", "5": "test"}


def read_esc50(folder: str | Path) -> tuple[list[Clip], list[str]]:
    """The clips of an ESC-50 folder with `meta/esc50.csv` and `audio/`, and the names of those without audio.

    Audio may have been converted (flac, ogg, …): its name without suffix counts. See `esc50_clips`.

    Raises:
        ClapgenError: the folder has no such table, the table is damaged, or none of its audio is there.
    """
    root = Path(folder)
    table = root / "meta" / "esc50.csv"
    if not table.is_file():
        raise ClapgenError(f"{root} is not ESC-50: there is no {table}; give the folder that has meta/ and audio/.")
    paths = sorted((root / "audio").iterdir()) if (root / "audio").is_dir() else []
    by_stem = {path.stem: path for path in paths if path.suffix.lower() in AUDIO_SUFFIXES}
    clips, missing = esc50_clips(table, by_stem.get)
    if not clips:
        raise ClapgenError(f"{root / 'audio'} holds none of the {len(missing)} clips that {table} names.")
    return clips, missing


def esc50_clips(table: Path, find: Callable[[str], Path | None]) -> tuple[list[Clip], list[str]]:
    """The clips that an `esc50.csv` names, and the file names of those that `find` (name without suffix) does not know.

    A clip's `extra` holds its `esc50_class` and its `fold`, 1 to 5. Folds 1 to 3 are "train", 4 is "val", 5 is "test".
    None is free: ESC-50 is CC BY-NC.

    Raises:
        ClapgenError: a column is missing, a row is cut off, or a fold is not 1 to 5 (the file is named).
    """
    reader = csv.DictReader(io.StringIO(read_text(table), newline=""))
    absent = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
    if absent:
        raise ClapgenError(f"{table} has no column {absent[0]!r}; it does not look like ESC-50.")
    clips, missing = [], []
    for row in reader:
        if any(row[column] is None for column in _COLUMNS):
            raise ClapgenError(f"{table}:{reader.line_num}: fewer columns than the header has.")
        if row["fold"] not in _SPLITS:
            raise ClapgenError(f"{table}: {row['filename']} is in fold {row['fold']!r}, not 1 to 5.")
        path = find(Path(row["filename"]).stem)
        if path is None:
            missing.append(row["filename"])
        else:
            clips.append(_clip(row, path))
    return clips, missing


def by_fold(clips: Sequence[Clip]) -> dict[int, list[int]]:
    """Fold → indices of its clips, by rising fold: the figure of ESC-50 is the mean over five folds of 400 clips.

    Raises:
        ClapgenError: a clip says no fold (`extra["fold"]`).
    """
    folds: dict[int, list[int]] = {}
    for index, clip in enumerate(clips):
        fold = clip.extra.get("fold")
        if not isinstance(fold, int):
            raise ClapgenError(f'{clip.path} says no fold; ESC-50 clips have "fold": 1 to 5 in the manifest.')
        folds.setdefault(fold, []).append(index)
    return dict(sorted(folds.items()))


def _clip(row: dict[str, str], path: Path) -> Clip:
    return Clip(
        path,
        labels=[row["category"].replace("_", " ")],
        recording=f"freesound:{row['src_file']}",
        licence="CC-BY-NC-3.0",
        split=_SPLITS[row["fold"]],
        free=False,
        extra={"esc50_class": row["category"], "fold": int(row["fold"])},
    )
