"""What a search found, for other programs: a table, a play list, and copies with their credits."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clapgen.data.csv_cells import write_csv_rows
from clapgen.data.tables import table_rows
from clapgen.embedders.file_identity import content_digest
from clapgen.errors import ClapgenError
from clapgen.files import atomic_path
from clapgen.library.library import Hit

CREDITS = "credits.csv"
CREDIT_COLUMNS = ("file", "title", "author", "licence", "source", "recording", "original", "sha256")
_SOURCES = ("url", "source_url", "page", "source")  # keys of a manifest that say where a sound is from


def hit_as_dict(rank: int, hit: Hit) -> dict[str, Any]:
    """A hit as JSON values."""
    about = hit.about
    return {
        "rank": rank,
        "path": str(hit.path),
        "score": round(hit.score, 6),
        "moments": [{"start": m.start, "end": m.end, "score": round(m.score, 6)} for m in hit.moments],
        "seconds": hit.sound.seconds,
        "sample_rate": hit.sound.sample_rate,
        "channels": hit.sound.channels,
        "captions": list(about.captions),
        "tags": list(about.tags),
        **{name: getattr(about, name) for name in ("licence", "author", "category", "name", "recording")},
        "digest": hit.sound.file.digest,
    }


def write_hits_csv(hits: Sequence[Hit], path: str | os.PathLike[str], force: bool = False) -> None:
    """One row per sound, with `start` and `end` of its best part; lists are separated by semicolons.

    Raises:
        ClapgenError: the file exists (and not `force`) or cannot be written.
    """
    rows = []
    for rank, hit in enumerate(hits, 1):
        values = hit_as_dict(rank, hit)
        moments = values.pop("moments")
        best = moments[0] if moments else {}
        row = {"rank": values.pop("rank"), "path": values.pop("path"), "score": values.pop("score")}
        row |= {"start": best.get("start"), "end": best.get("end"), **values}
        rows.append({key: "; ".join(value) if isinstance(value, list) else value for key, value in row.items()})
    columns = list(rows[0]) if rows else ["path"]
    with atomic_path(path, force) as temporary:
        write_csv_rows(temporary, columns, [[row[column] for column in columns] for row in rows])


def write_playlist(hits: Sequence[Hit], path: str | os.PathLike[str], force: bool = False) -> None:
    """An extended M3U in UTF-8; paths below the folder of the list are relative to it.

    Raises:
        ClapgenError: the file exists (and not `force`) or cannot be written; a name has a line break, which a play list
            cannot hold.
    """
    folder = Path(os.path.abspath(path)).parent
    lines = ["#EXTM3U"]
    for hit in hits:
        if "\n" in str(hit.path) or "\r" in str(hit.path):
            raise ClapgenError(f"{str(hit.path)!r} has a line break in its name, which a play list cannot hold.")
        title = " ".join((hit.about.captions[0] if hit.about.captions else hit.path.stem).split())
        below = hit.path.is_relative_to(folder)
        lines += [
            f"#EXTINF:{round(hit.sound.seconds)},{title}",
            str(hit.path.relative_to(folder) if below else hit.path),
        ]
    with atomic_path(path, force) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogateescape")


def copy_hits(hits: Sequence[Hit], folder: str | os.PathLike[str]) -> tuple[list[Path], list[str]]:
    """Copy the sounds into a folder, with a table of their licences and authors (`credits.csv`).

    A sound that is there already is not copied again. Another one of the same name gets a number. The table keeps what
    earlier searches copied.

    Returns:
        The copies, and in words what could not be copied.

    Raises:
        ClapgenError: the folder cannot be written, or holds another table of that name.
    """
    folder = Path(folder)
    credits = _read_credits(folder / CREDITS)
    copies, problems = [], []
    for hit in hits:
        if not hit.path.is_file():
            problems.append(f"{hit.path} is gone; it was not copied.")
            continue
        target = _free_name(folder, hit)
        if not target.exists():
            with atomic_path(target) as temporary:
                shutil.copyfile(hit.path, temporary)
        copies.append(target)
        credits[target.name] = _credit(target.name, hit)
    if copies:
        with atomic_path(folder / CREDITS, overwrite=True) as temporary:
            rows = [[credits[name].get(column, "") for column in CREDIT_COLUMNS] for name in sorted(credits)]
            write_csv_rows(temporary, CREDIT_COLUMNS, rows)
    return copies, problems


def _read_credits(path: Path) -> dict[str, dict[str, str]]:
    if not path.exists():
        return {}
    required = [(column,) for column in CREDIT_COLUMNS]
    return {row["file"]: row for _, row in table_rows(path, required)}


def _credit(name: str, hit: Hit) -> dict[str, str]:
    about = hit.about
    source = next((str(about.extra[key]) for key in _SOURCES if about.extra.get(key)), "")
    return {
        "file": name,
        "title": about.name or (about.captions[0] if about.captions else ""),
        "author": about.author or "",
        "licence": about.licence or "unknown",
        "source": source,
        "recording": about.recording or "",
        "original": str(hit.path),
        "sha256": hit.sound.file.digest,
    }


def _free_name(folder: Path, hit: Hit) -> Path:
    """The name of the copy: that of the sound, with a number if another sound has it."""
    target, number = folder / hit.path.name, 1
    while target.exists() and content_digest(target) != hit.sound.file.digest:
        number += 1
        target = folder / f"{hit.path.stem}-{number}{hit.path.suffix}"
    return target
