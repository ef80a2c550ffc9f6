"""Attribution of the recordings a model was trained on, as CC BY and similar licences require."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from clapgen.data.manifest import Clip
from clapgen.errors import ClapgenError
from clapgen.files import atomic_path

COLUMNS = ("clip", "author", "licence", "url")


def write_attribution(clips: Sequence[Clip], path: Path, overwrite: bool = False) -> int:
    """Write one tab-separated line for each clip (clip, author, licence, url), sorted. Returns the number of clips.

    Raises:
        ClapgenError: a clip has no licence (it is named), or the file exists and `overwrite` is false.
    """
    rows = []
    for clip in clips:
        if not clip.licence:
            raise ClapgenError(f"{clip.path} has no licence in the manifest; add one, or remove the clip")
        source = clip.extra.get("source")
        name = f"{source}/{clip.path.name}" if source else clip.path.name
        rows.append((name, clip.extra.get("author") or "unknown", clip.licence, clip.extra.get("url") or ""))
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerows([COLUMNS, *sorted(rows)])
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    return len(rows)
