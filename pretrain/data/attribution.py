"""Who made the recordings a model was trained on: the list that CC-BY and the like ask for."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from clapgen.data.manifest import Clip
from clapgen.errors import ClapgenError
from clapgen.files import atomic_path

COLUMNS = ("clip", "author", "licence", "url")


def write_attribution(clips: Sequence[Clip], path: Path, overwrite: bool = False) -> int:
    """Write a line a clip (tab-separated: clip, author, licence, url), sorted; returns how many.

    Raises:
        ClapgenError: a clip has no licence, so that it may not be used at all (it is named).
    """
    rows = []
    for clip in clips:
        if not clip.licence:
            raise ClapgenError(f"{clip.path} has no licence in the manifest; nothing can be said of its use")
        source = clip.extra.get("source")
        name = f"{source}/{clip.path.name}" if source else clip.path.name
        rows.append((name, clip.extra.get("author") or "unknown", clip.licence, clip.extra.get("url") or ""))
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerows([COLUMNS, *sorted(rows)])
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    return len(rows)
