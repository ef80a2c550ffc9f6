"""A manifest lists clips to train and test on: JSON lines or a table, one clip per line.

The fields of `Clip` are the known keys; other keys are kept in `extra`.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from clapgen.data.tables import split_list, table_rows
from clapgen.data.text import json_lines
from clapgen.errors import ClapgenError
from clapgen.files import atomic_path


@dataclass(frozen=True)
class Clip:
    """One audio file and its metadata.

    Attributes:
        recording: what the clip was cut from; clips of one recording are near-duplicates.
        free: whether the clip's own licence allows commercial use.
        extra: every other key of the manifest's line.
        name: path below the folder it was found in, without suffix; not part of a manifest.
        reference: the recording that a generated clip is compared with, if it names one; not part of a manifest.
    """

    path: Path
    captions: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    recording: str | None = None
    licence: str | None = None
    split: str | None = None
    free: bool | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    reference: str | None = None

    @property
    def caption(self) -> str | None:
        """The first caption, or the prompt of a generated clip."""
        return self.captions[0] if self.captions else None


_LISTS = ("captions", "labels")
_OPTIONAL: dict[str, type] = {"recording": str, "licence": str, "split": str, "free": bool}


_PATHS = ("path", "file_name", "filename", "file")
_CAPTION = re.compile(r"caption(_?\d+)?|text|raw")
_TABLES = (".csv", ".tsv")
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": None}


def read_manifest(path: str | Path) -> list[Clip]:
    """Read a manifest; relative paths in it are relative to its folder.

    - JSON lines: one object per line.
    - `.csv`, `.tsv`: a header and one row per clip; `labels` are separated by semicolons. Rows of the same file become
      one clip.

    In both the file may be named by `path` or `file_name` (as in Hugging Face's audiofolder), and captions by
    `caption`, `text` or `caption_1`, `caption_2`, ….
    The files are not opened here; `AudioCache.build` reports those that are missing or broken.

    Raises:
        ClapgenError: the manifest cannot be read or is empty, or a line is not a clip (named as file:line).
    """
    path = Path(path)
    folder = path.parent.absolute()
    if path.suffix.lower() in _TABLES:
        rows = ((where, _of_table(row, where)) for where, row in table_rows(path, (_PATHS,)))
        clips = _joined(_clip(fields, folder, where) for where, fields in rows)
    else:
        clips = [_clip(fields, folder, where) for where, fields in json_lines(path)]
    if not clips:
        raise ClapgenError(f"the manifest {path} lists no clips; it needs one JSON object, or one row, per line")
    return clips


def training_clips(
    manifest: str | Path, split: str = "train", free_only: bool = False, exclude_copyleft: Sequence[str] = ()
) -> list[Clip]:
    """The clips of a manifest to train on: those of `split` and those without a split; optionally only free ones.

    Args:
        exclude_copyleft: kinds of licence to leave out ("gpl", "sharealike"), as in the key "copyleft" of a line.

    Raises:
        ClapgenError: there are none.
    """
    return choose_training_clips(read_manifest(manifest), manifest, split, free_only, exclude_copyleft)


def choose_training_clips(
    clips: Sequence[Clip], manifest: str | Path, split: str, free_only: bool, exclude_copyleft: Sequence[str]
) -> list[Clip]:
    """`training_clips` of a manifest that has been read already."""
    of_split = [clip for clip in clips if clip.split in (None, split)]
    free = [clip for clip in of_split if clip.free or not free_only]
    excluded = {kind.casefold() for kind in exclude_copyleft}
    chosen = [clip for clip in free if str(clip.extra.get("copyleft")).casefold() not in excluded]
    if chosen:
        return chosen
    if free:
        raise ClapgenError(f"{manifest} has only clips that exclude_copyleft={','.join(exclude_copyleft)} leaves out.")
    if of_split:
        raise ClapgenError(
            f'{manifest} has no clip of split "{split}" with "free": true to train on; mark free clips in the '
            "manifest, or set free_only=false to train on all."
        )
    raise ClapgenError(f'{manifest} has no clip of split "{split}" to train on; set another split.')


def held_out_clips(manifest: str | Path, split: str = "val") -> list[Clip]:
    """The clips of a manifest to evaluate on: those of `split`, which may be none."""
    return [clip for clip in read_manifest(manifest) if clip.split == split]


def _of_table(row: dict[str, Any], where: str) -> dict[str, Any]:
    """The values that a line of JSON would have."""
    fields: dict[str, Any] = {name: text for name, text in row.items() if text.strip()}
    if "free" in fields:
        text = fields["free"].strip().lower()
        if text not in _BOOLEANS:
            raise ClapgenError(f'{where}: "free" must be true or false, not {text!r}')
        fields["free"] = _BOOLEANS[text]
    if "labels" in fields:
        fields["labels"] = split_list(fields["labels"])
    return fields


def _joined(clips: Iterable[Clip]) -> list[Clip]:
    """One clip for each file, with the captions and labels of all its rows."""
    by_path: dict[Path, Clip] = {}
    for clip in clips:
        if before := by_path.get(clip.path):
            captions, labels = [*before.captions, *clip.captions], [*before.labels, *clip.labels]
            clip = replace(before, captions=list(dict.fromkeys(captions)), labels=list(dict.fromkeys(labels)))
        by_path[clip.path] = clip
    return list(by_path.values())


def _clip(fields: dict[str, Any], folder: Path, where: str) -> Clip:
    audio = fields.pop(next((name for name in _PATHS if name in fields), "path"), None)
    if not isinstance(audio, str) or not audio or "\0" in audio:
        raise ClapgenError(f'{where}: "path" must name an audio file')
    if fields.get("captions") is None:
        named = sorted(name for name in fields if _CAPTION.fullmatch(name) and isinstance(fields[name], str))
        fields["captions"] = [text for name in named if (text := fields.pop(name).strip())]
    known: dict[str, Any] = {}
    for key in _LISTS:
        texts = fields.pop(key, None)
        known[key] = [] if texts is None else texts
        if not isinstance(known[key], list) or not all(isinstance(text, str) for text in known[key]):
            raise ClapgenError(f'{where}: "{key}" must be a list of strings')
    for key, kind in _OPTIONAL.items():
        known[key] = fields.pop(key, None)
        if not isinstance(known[key], kind | None):
            raise ClapgenError(f'{where}: "{key}" must be a {kind.__name__} or null')
    return Clip(folder / audio, **known, extra=fields)


def check_manifest_name(path: Path) -> None:
    """ClapgenError if a manifest of this name would be read as a table although JSON lines are written."""
    if path.suffix.lower() in _TABLES:
        raise ClapgenError(f"{path}: manifests are written as JSON lines; give a name that ends in .jsonl.")


def save_manifest(clips: Iterable[Clip], path: str | Path, overwrite: bool = False) -> int:
    """Write clips as a manifest that `read_manifest` can read; returns how many.

    Paths below the manifest's folder are written relative to it, so that the folder can be moved.

    Raises:
        ClapgenError: the manifest exists and `overwrite` is false, is called a table, or cannot be written.
    """
    path = Path(path)
    check_manifest_name(path)
    folder = path.parent.absolute()
    count = 0
    with atomic_path(path, overwrite=overwrite) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for clip in clips:
            count += 1
            audio = clip.path.absolute()
            path_in_file = str(audio.relative_to(folder) if audio.is_relative_to(folder) else audio)
            known = {key: getattr(clip, key) for key in (*_LISTS, *_OPTIONAL) if getattr(clip, key) not in (None, [])}
            line = {"path": path_in_file, **known}
            file.write(
                json.dumps(line | clip.extra | line, ensure_ascii=False) + "\n"
            )  # known keys first, and they win
    return count
