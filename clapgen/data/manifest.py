"""A manifest lists clips to train and test on: a file of JSON lines, one clip a line.

`Clip` says which keys are known, others are kept in `extra`.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clapgen.errors import ClapgenError
from clapgen.files import atomic_path


@dataclass(frozen=True)
class Clip:
    """One audio file with what is known about it.

    `recording` names what the clip was cut from (clips of one recording are near-duplicates), `free` says whether the
    clip's own licence allows commercial use, `extra` holds every other key of the manifest's line.
    """

    path: Path
    captions: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    recording: str | None = None
    licence: str | None = None
    split: str | None = None
    free: bool | None = None
    extra: dict[str, Any] = field(default_factory=dict)


_LISTS = ("captions", "labels")
_OPTIONAL: dict[str, type] = {"recording": str, "licence": str, "split": str, "free": bool}


def read_manifest(path: str | Path) -> list[Clip]:
    """Read a manifest; relative paths in it are relative to its folder.

    The clips' files are not opened here: `AudioCache.build` names those that are missing or broken.

    Raises:
        ClapgenError: the manifest cannot be read, is empty, or a line is not a clip (named as file:line).
    """
    path = Path(path)
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise ClapgenError(f"cannot read the manifest {path}: {error.strerror or error}") from error
    folder = path.parent.absolute()
    clips = [_parse_line(line, folder, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not clips:
        raise ClapgenError(f"the manifest {path} lists no clips; it needs one JSON object a line")
    return clips


def training_clips(manifest: str | Path, split: str = "train", free_only: bool = False) -> list[Clip]:
    """The clips of a manifest to train on: those of `split` and those that name none, all or only the free ones.

    Raises:
        ClapgenError: there are none.
    """
    clips = [clip for clip in read_manifest(manifest) if clip.split in (None, split)]
    chosen = [clip for clip in clips if clip.free or not free_only]
    if chosen:
        return chosen
    if clips:
        raise ClapgenError(
            f'{manifest} has no clip of split "{split}" with "free": true to train on; say in the manifest which clips '
            "are free, or set free_only=false to train on all."
        )
    raise ClapgenError(f'{manifest} has no clip of split "{split}" to train on; set another split.')


def held_out_clips(manifest: str | Path, split: str = "val") -> list[Clip]:
    """The clips of a manifest to measure on: those that name `split`; there may be none."""
    return [clip for clip in read_manifest(manifest) if clip.split == split]


def _parse_line(line: bytes, folder: Path, where: str) -> Clip:
    try:
        fields = json.loads(line)
    except ValueError as error:  # also what is not UTF-8
        raise ClapgenError(f"{where}: not a line of JSON ({error})") from error
    if not isinstance(fields, dict):
        raise ClapgenError(f"{where}: a clip is a JSON object, this is {line[:40]!r}")
    audio = fields.pop("path", None)
    if not isinstance(audio, str) or not audio or "\0" in audio:
        raise ClapgenError(f'{where}: "path" must name an audio file')
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


def save_manifest(clips: Iterable[Clip], path: str | Path, overwrite: bool = False) -> int:
    """Write clips as a manifest that `read_manifest` reads; give back how many.

    Paths below the manifest's folder are written relative to it, so that the folder can be moved.

    Raises:
        ClapgenError: the manifest exists and `overwrite` is false, or cannot be written.
    """
    path = Path(path)
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
