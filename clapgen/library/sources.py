"""Where sounds and what is said about them come from: files, folders, manifests, text files next to sounds."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from clapgen.audio.finding import FoundAudio, search_audio
from clapgen.data.manifest import Clip, read_manifest
from clapgen.data.tables import SUFFIXES
from clapgen.data.text import decode_text
from clapgen.errors import ClapgenError
from clapgen.library.records import Description

AUDIOFOLDER = ("metadata.jsonl", "metadata.csv")  # of Hugging Face's audiofolder, in the folder of its sounds or above
_AUTHORS = ("author", "creator", "artist", "attribution", "uploader", "username")
_LICENCES = ("license", "rights")
_LONGEST_TEXT = 65536  # bytes of a text file that can be a caption


@dataclass(frozen=True)
class Source:
    """A file to add, and what is said about it outside of it."""

    path: Path
    description: Description = field(default_factory=Description)

    @property
    def given(self) -> str:
        """Stands for the description; "" if nothing is said."""
        if self.description == Description():
            return ""
        about = json.dumps(self.description.__dict__, sort_keys=True, default=list)
        return hashlib.sha256(about.encode(errors="surrogateescape")).hexdigest()[:16]


@dataclass
class Sources:
    """What was found: files, the folders that were searched, and remarks for the user."""

    files: list[Source] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def find_sources(paths: Iterable[str | os.PathLike[str]]) -> Sources:
    """The sounds of files, folders and manifests, with what is said about them; each file once.

    - A folder: every sound in it and its subfolders (see `search_audio`); a `metadata.csv` or `metadata.jsonl` in them
      describes sounds as a manifest does.
    - A `.jsonl`, `.csv` or `.tsv` file: a manifest (see `read_manifest`).
    - A sound with a text file of the same name: its lines are captions, unless a manifest says something.

    Raises:
        ClapgenError: a path does not exist, a folder has no sounds, a manifest is wrong.
    """
    sources = Sources()
    by_path: dict[Path, Description] = {}
    _resolved.cache_clear()  # links may have changed
    for path in map(Path, paths):
        if path.suffix.lower() in SUFFIXES and not path.is_dir():
            by_path |= {canonical(clip.path): description_of(clip) for clip in read_manifest(path)}
            continue
        found = search_audio([path])
        top = Path(os.path.realpath(path)) if path.is_dir() else canonical(path).parent
        sources.folders += [top] if path.is_dir() else []
        beside = _Neighbours(top, sources.remarks)
        for sound in map(canonical, found.files):
            about = beside.describe(sound)
            by_path[sound] = by_path.get(sound, about) if about == Description() else about
        if summary := FoundAudio([], found.left_out - beside.used).summary():
            sources.remarks.append(f"{summary}.")
    sources.files = [Source(path, about) for path, about in by_path.items()]
    return sources


def canonical(path: str | os.PathLike[str]) -> Path:
    """The absolute path of a file, by the one route that has no links; a link to a file keeps its name."""
    folder, name = os.path.split(os.path.abspath(path))
    return Path(_resolved(folder), name)


@lru_cache(maxsize=4096)
def _resolved(folder: str) -> str:
    return os.path.realpath(folder)


def description_of(clip: Clip) -> Description:
    """What a manifest's line says."""
    extra = dict(clip.extra)
    author = next((extra.pop(key) for key in _AUTHORS if isinstance(extra.get(key), str)), None)
    licence = clip.licence or next((extra.pop(key) for key in _LICENCES if isinstance(extra.get(key), str)), None)
    category, name = (extra.pop(key) if isinstance(extra.get(key), str) else None for key in ("CatID", "FXName"))
    tags = extra.pop("tags", [])
    labels = [*clip.labels, *(tag for tag in tags if isinstance(tag, str))] if isinstance(tags, list) else clip.labels
    extra |= {key: value for key in ("split", "free") if (value := getattr(clip, key)) is not None}
    captions, labels = tuple(clip.captions), list(dict.fromkeys(labels))
    return Description(captions, tuple(labels), licence, author, category, name, clip.recording, extra)


def merged(given: Description, own: Description) -> Description:
    """What is said about a file outside of it, and what it says itself; the former counts where they differ."""
    return replace(
        given,
        captions=given.captions or own.captions,
        tags=tuple(dict.fromkeys([*given.tags, *own.tags])),
        **{
            key: getattr(given, key) or getattr(own, key)
            for key in ("licence", "author", "category", "name", "recording")
        },
    )


@dataclass
class _Neighbours:
    """What the files next to sounds say about them, for the sounds below one folder."""

    top: Path
    remarks: list[str]
    folders: dict[Path, _Folder] = field(default_factory=dict)

    @property
    def used(self) -> Counter[str]:
        """How many metadata files were read, by suffix."""
        return Counter(Path(name).suffix for folder in self.folders.values() for name in folder.read_files)

    def describe(self, path: Path) -> Description:
        """From the nearest metadata file that names the sound, or else from its text file."""
        for folder in path.parents:
            if folder not in self.folders:
                self.folders[folder] = _Folder.read(folder, self.remarks)
            if about := self.folders[folder].metadata.get(path):
                return about
            if folder == self.top or not folder.is_relative_to(self.top):
                break
        text = path.with_suffix(".txt")
        return self._lines(text) if text.name in self.folders[path.parent].texts else Description()

    def _lines(self, text: Path) -> Description:
        try:
            if text.stat().st_size > _LONGEST_TEXT:
                return Description()
            lines = decode_text(text.read_bytes(), str(text)).splitlines()
        except (ClapgenError, OSError) as error:
            self.remarks.append(f"{text} is not used as captions: {error}")
            return Description()
        return Description(captions=tuple(line for raw in lines if (line := " ".join(raw.split()))))


@dataclass
class _Folder:
    """What describes the sounds of one folder."""

    texts: set[str] = field(default_factory=set)
    metadata: dict[Path, Description] = field(default_factory=dict)
    read_files: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path, remarks: list[str]) -> _Folder:
        try:
            names = {entry.name for entry in os.scandir(folder)}
        except OSError:
            return cls()
        found = cls({name for name in names if name.endswith(".txt")})
        for name in filter(names.__contains__, AUDIOFOLDER):
            try:
                clips = read_manifest(folder / name)
            except ClapgenError as error:
                remarks.append(f"{folder / name} is not used: {error}")
                continue
            found.metadata |= {canonical(clip.path): description_of(clip) for clip in clips}
            found.read_files.append(name)
        return found
