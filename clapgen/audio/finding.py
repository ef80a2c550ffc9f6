"""Which files on the command line are sounds: files as given, folders searched, patterns expanded."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

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

    Files beside a sound that share its name, such as `rain.json` beside `rain.wav`, are not counted.
    """

    files: list[Path]
    left_out: Counter[str] = field(default_factory=Counter)

    def summary(self) -> str:
        """What was left out, in words; empty if nothing was."""
        if not self.left_out:
            return ""
        total = sum(self.left_out.values())
        most = self.left_out.most_common(NAMED_SUFFIXES)
        named = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in most)
        more = ", …" if len(self.left_out) > len(most) else ""
        return f"left out {total} {'file' if total == 1 else 'files'} that are not audio by suffix ({named}{more})"


def search_audio(paths: Iterable[str | os.PathLike[str]]) -> FoundAudio:
    """List files as given, and every audio file in folders and their subfolders, sorted.

    Folders are searched by suffix. Hidden files and folders (also macOS' `._` files) are left out; linked folders are
    entered once. A pattern such as `*.wav` that the shell did not expand is expanded here.

    Raises:
        ClapgenError: a path does not exist, or a folder contains no audio.
    """
    files: list[Path] = []
    left_out: Counter[str] = Counter()
    for path in map(Path, _expanded(paths)):
        if not path.is_dir():
            if not os.path.lexists(path):
                raise ClapgenError(f"{path} does not exist; check the path.")
            files.append(path)
            continue
        found = sorted(_files_below(path))
        sounds = [item for item in found if item.suffix.lower() in AUDIO_SUFFIXES]
        if not sounds:
            raise ClapgenError(
                f"{path} contains no audio files (recognised by suffix: .wav, .flac, .mp3, .m4a, …); "
                "a file with another name can be given itself."
            )
        files.extend(sounds)
        stems = {item.with_suffix("") for item in sounds}
        others = (item for item in found if item.suffix.lower() not in AUDIO_SUFFIXES)
        left_out.update(item.suffix.lower() for item in others if item.with_suffix("") not in stems)
    return FoundAudio(list(dict.fromkeys(files)), left_out)


def find_audio(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The files of `search_audio`."""
    return search_audio(paths).files


def _expanded(paths: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    for path in (str(Path(path)) for path in paths):
        matches = sorted(glob.glob(path)) if glob.has_magic(path) and not os.path.lexists(path) else []
        yield from matches or [path]


def _files_below(folder: Path) -> Iterator[Path]:
    entered: set[tuple[int, int]] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(root)
        if (status.st_dev, status.st_ino) in entered:  # a link to a folder above it, or a second link
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name) for name in names if not name.startswith("."))
