"""Reading the audio files of a command: an unreadable file is skipped with a warning, and the exit code says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from clapgen.cli.console import print_warning
from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    import numpy as np


@dataclass
class SoundFiles:
    """The audio files given to a command.

    With `strict` the first unreadable file is an error. Otherwise it is skipped, and `finish` raises the error.
    """

    paths: Sequence[Path]
    strict: bool = False
    skipped: list[Path] = field(default_factory=list)

    def read(self, sample_rate: int) -> Iterator[tuple[Path, np.ndarray]]:
        """Yield path and mono waveform (samples,) at `sample_rate` Hz of every readable file."""
        from clapgen.audio import read_audio

        for path in self.paths:
            try:
                waveform, _ = read_audio(path, sample_rate)
            except ClapgenError as error:
                self.skip(path, error)
                continue
            if not waveform.any():
                print_warning(f"{path} is silent; its score is not meaningful.")
            yield path, waveform

    def skip(self, path: Path, error: ClapgenError) -> None:
        """Warn about an unreadable file and go on; raise its error with `strict`, or if it is the only file."""
        if self.strict or len(self.paths) == 1:
            raise error
        print_warning(f"skipped: {error}")
        self.skipped.append(path)

    def finish(self) -> None:
        """Raise ClapgenError if files were skipped."""
        if self.skipped:
            raise ClapgenError(f"{len(self.skipped)} of {len(self.paths)} files were skipped (listed above).")


def sound_files(paths: Sequence[Path], strict: bool) -> SoundFiles:
    """The files of a command line, with folders replaced by the audio files in them. ClapgenError if one is missing."""
    from clapgen.audio import find_audio

    return SoundFiles(find_audio(paths), strict)
