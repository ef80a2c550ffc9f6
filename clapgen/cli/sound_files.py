"""Reading the audio files of a command: an unreadable file is skipped with a warning, and the exit code says so."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from clapgen.cli.console import print_warning
from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    from torch import Tensor

    from clapgen.audio.silence import SilenceMeter
    from clapgen.embedders import ClapEmbedder


@dataclass
class SoundFiles:
    """The audio files given to a command; `-` is standard input.

    With `strict` the first unreadable file is an error. Otherwise it is skipped, and `finish` raises the error. A sound
    longer than `max_seconds` counts as unreadable.
    """

    paths: Sequence[Path]
    strict: bool = False
    max_seconds: float = math.inf
    skipped: list[Path] = field(default_factory=list)

    def embed(self, clap: ClapEmbedder, batch_size: int | None = None) -> Iterator[tuple[Path, Tensor]]:
        """Yield path and embedding (dim,) of every readable file, read in pieces: its length does not matter.

        Args:
            batch_size: windows to embed at a time; the model's own number if None.

        Raises:
            ClapgenError: `strict`, and a file cannot be read; or the model gives NaN.
        """
        from clapgen.audio.reading import stream_audio
        from clapgen.audio.silence import SilenceMeter
        from clapgen.embedders import BROKEN_MODEL, display_name, embed_streams

        def sounds() -> Iterator[tuple[tuple[Path, SilenceMeter], Iterator]]:
            for path in self.paths:
                meter = SilenceMeter()
                pieces = stream_audio(path, clap.sample_rate, max_seconds=self.max_seconds)
                yield (path, meter), meter.watch(pieces)

        for (path, meter), embedding in embed_streams(clap, sounds(), batch_size):
            if isinstance(embedding, ClapgenError):
                self.skip(path, embedding)
                continue
            if not embedding.isfinite().all():
                raise ClapgenError(f"the model {display_name(clap)} gives NaN or infinity for {path}. {BROKEN_MODEL}")
            if note := meter.note():
                print_warning(f"{path}: {note}; its embedding is not meaningful.")
            yield path, embedding

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


def sound_files(paths: Sequence[Path], strict: bool, max_hours: float = math.inf) -> SoundFiles:
    """The files of a command line, with folders replaced by the audio files in them.

    Files that a folder holds but that are no audio by their name are counted in a warning.

    Raises:
        ClapgenError: a file is missing, a folder holds no audio, or `max_hours` is not positive.
    """
    from clapgen.audio import search_audio

    if not max_hours > 0:
        raise ClapgenError(f"--max-hours must be above 0, not {max_hours:g}.")
    found = search_audio(paths)
    if summary := found.summary():
        print_warning(f"{summary}.")
    return SoundFiles(found.files, strict, 3600 * max_hours)
