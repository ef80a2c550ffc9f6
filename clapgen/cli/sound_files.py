"""Reading many sound files for a command: one bad file is named and left out, and the command ends with an error."""

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
    """The sound files that a command was given.

    With `strict` the first file that cannot be read is an error at once; without, it goes on, and `finish` is the
    error.
    """

    paths: Sequence[Path]
    strict: bool = False
    skipped: list[Path] = field(default_factory=list)

    def read(self, sample_rate: int) -> Iterator[tuple[Path, np.ndarray]]:
        """Yield path and mono waveform (samples,) at `sample_rate` Hz of every file that can be read."""
        from clapgen.audio import read_audio

        for path in self.paths:
            try:
                waveform, _ = read_audio(path, sample_rate)
            except ClapgenError as error:
                self.leave_out(path, error)
                continue
            if not waveform.any():
                print_warning(f"{path} is digital silence; what is said of it means little.")
            yield path, waveform

    def leave_out(self, path: Path, error: ClapgenError) -> None:
        """Name a file that cannot be read and go on; raise the error where nothing else is to be done."""
        if self.strict or len(self.paths) == 1:
            raise error
        print_warning(f"skipped: {error}")
        self.skipped.append(path)

    def finish(self) -> None:
        """Raise ClapgenError if files were skipped."""
        if self.skipped:
            raise ClapgenError(f"{len(self.skipped)} of {len(self.paths)} files were skipped; they are named above.")


def sound_files(paths: Sequence[Path], strict: bool) -> SoundFiles:
    """The files of a command line, folders replaced by the sounds in them. ClapgenError if one does not exist."""
    from clapgen.audio import find_audio

    return SoundFiles(find_audio(paths), strict)
