"""Which files on the command line are sounds: files as given, folders searched, patterns expanded."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from clapgen.audio.decoding import STDIN
from clapgen.errors import ClapgenError

_FORMATS = (
    "wav flac ogg oga opus mp3 aif aiff aifc au snd caf w64 rf64 m4a m4b mp4 m4v mov aac webm mka mkv wma amr 3gp ac3 "
    "wv ape tta mp2 spx"
)
AUDIO_SUFFIXES = frozenset(f".{name}" for name in _FORMATS.split())
NAMED_SUFFIXES = 5


@dataclass(frozen=True)
class FoundAudio:
    """`files` to read, and the number of other files in the searched folders by suffix.

    Files next to a sound that share its name, such as `rain.json` next to `rain.wav`, are not counted.
    """

    files: list[Path]
    left_out: Counter[str] = field(default_factory=Counter)

    def summary(self) -> str:
        """What was left out, in words; empty if nothing was."""
        if not self.left_out:
            return ""
        total = sum(self.left_out.values())
        most = sorted(self.left_out.items(), key=lambda item: (-item[1], item[0]))[:NAMED_SUFFIXES]
        named = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in most)
        more = ", …" if len(self.left_out) > len(most) else ""
        files = "file that is" if total == 1 else "files that are"
        return f"left out {total} {files} not audio by suffix ({named}{more})"


def search_audio(paths: Iterable[str | os.PathLike[str]]) -> FoundAudio:
    """List files as given, and every audio file in folders and their subfolders, sorted.

    Folders are searched by suffix. Hidden files and folders (also macOS' `._` files) are left out; linked folders are
    entered once. A pattern such as `*.wav` that the shell did not expand is expanded here. `-` is standard input.

    Raises:
        ClapgenError: a path does not exist, or a folder contains no audio.
    """
    files: list[Path] = []
    left_out: Counter[str] = Counter()
    for path in map(Path, _expanded(paths)):
        if str(path) == STDIN:
            files.append(path)
            continue
        if not path.is_dir():
            if not os.path.lexists(path):
                raise ClapgenError(f"{path} does not exist; check the path.")
            files.append(path)
            continue
        sounds, others = _sounds_and_others(path)
        if not sounds:
            raise ClapgenError(
                f"{path} contains no audio files (recognised by suffix: .wav, .flac, .mp3, .m4a, …); "
                "a file with another name can be given itself."
            )
        files.extend(sounds)
        stems = {os.path.splitext(item)[0] for item in sounds}
        left_out.update(_suffix(item) for item in others if stems.isdisjoint(_possible_stems(item)))
    return FoundAudio(list(dict.fromkeys(files)), left_out)


def find_audio(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The files of `search_audio`."""
    return search_audio(paths).files


def _sounds_and_others(folder: Path) -> tuple[list[Path], list[str]]:
    """The files below a folder. A folder may hold a million other files, which stay strings: they are not sorted."""
    sounds, others = [], []
    for name in _files_below(folder):
        if _suffix(name) in AUDIO_SUFFIXES:
            sounds.append(Path(name))
        else:
            others.append(name)
    return sorted(sounds), others


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _possible_stems(name: str) -> Iterator[str]:
    """For rain.wav.caption.json: rain.wav.caption, rain.wav and rain."""
    while True:
        name, suffix = os.path.splitext(name)
        if not suffix:
            return
        yield name


def _expanded(paths: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    for path in (str(Path(path)) for path in paths):
        matches = sorted(glob.glob(path)) if glob.has_magic(path) and not os.path.lexists(path) else []
        yield from matches or [path]


def _files_below(folder: Path) -> Iterator[str]:
    entered: set[tuple[int, int]] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(root)
        if (status.st_dev, status.st_ino) in entered:  # a link to a folder above it, or a second link
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(root, name) for name in names if not name.startswith("."))
