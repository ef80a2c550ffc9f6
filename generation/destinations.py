"""Where generated sounds go: into a folder, one file or standard output, in a format, at a rate. Imports no torch."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from clapgen.errors import ClapgenError, nearest
from generation.requests import Range

# Name on the command line -> suffix and bits per sample, as clapgen.write_audio takes them.
FORMATS: dict[str, tuple[str, int | None]] = {
    "wav": (".wav", 16),
    "wav24": (".wav", 24),
    "wav32": (".wav", 32),
    "flac": (".flac", 16),
    "flac24": (".flac", 24),
    "ogg": (".ogg", None),
    "opus": (".opus", None),
    "mp3": (".mp3", None),
}
FILE_RANGES = {"rate": Range(8000, 192_000), "channels": Range(1, 2)}  # of the file; the model's own rate if None


@dataclass(frozen=True)
class Destination:
    """Where sounds go: into exactly one `file`, into a `stream`, or under free names in a `folder`.

    `rate` in Hz (the model's own if None) and `channels` (2 holds the same sound twice) are those of the files.
    """

    folder: Path
    file: Path | None
    audio_format: str
    rate: int | None = None
    channels: int = 1
    stream: BinaryIO | None = None

    @property
    def suffix(self) -> str:
        """Suffix of the sound files, with its dot."""
        return FORMATS[self.audio_format][0]


def choose_destination(
    output: Path | None,
    audio_format: str | None = None,
    several: bool = False,
    default_format: str | None = None,
    rate: int | None = None,
    channels: int = 1,
) -> Destination:
    """A file if `output` has a suffix and is not a folder, otherwise a folder: the current one if `output` is None.
    "-" is standard output.

    `default_format` (wav) applies if neither `audio_format` nor the suffix of `output` names one.

    Raises:
        ClapgenError: they contradict each other, `several` sounds would go into one file, or the format has no such
            rate.
    """
    if audio_format is not None and audio_format not in FORMATS:
        raise ClapgenError(
            f"--format must be one of {', '.join(FORMATS)}, not '{audio_format}'.{nearest(audio_format, FORMATS)}"
        )
    folder, file, stream = output or Path(), None, None
    chosen = audio_format or default_format
    if output is not None and str(output) == "-":
        folder, stream = Path(), _standard_output(chosen, several)
    elif output is not None and output.suffix and not output.is_dir():
        folder, file = output.parent, output
        chosen = _format_of_file(output, audio_format, default_format, several)
    elif folder.is_file():
        raise ClapgenError(f"-o {folder} is a file, not a folder; add a suffix such as .wav to write a sound.")
    destination = Destination(
        folder,
        file,
        chosen or "wav",
        None if rate is None else int(FILE_RANGES["rate"].checked(rate, "--rate")),
        int(FILE_RANGES["channels"].checked(channels, "--channels")),
        stream,
    )
    _check_rate(destination)
    return destination


def _format_of_file(output: Path, audio_format: str | None, default_format: str | None, several: bool) -> str:
    matching = [name for name, (suffix, _) in FORMATS.items() if suffix == output.suffix.lower()]
    if not matching:
        suffixes = ", ".join(dict.fromkeys(suffix for suffix, _ in FORMATS.values()))
        raise ClapgenError(
            f"-o {output}: unsupported suffix; use one of {suffixes} (create the folder first if it is meant as one)."
        )
    if audio_format is not None and audio_format not in matching:
        raise ClapgenError(f"-o {output} and --format {audio_format} contradict each other; omit one.")
    if several:
        raise ClapgenError(f"-o {output} is a single file, but several sounds are to be generated; give a folder.")
    return audio_format or (default_format if default_format in matching else matching[0])


def _standard_output(audio_format: str | None, several: bool) -> BinaryIO:
    if audio_format is None:
        raise ClapgenError("-o - writes the sound to standard output and needs --format, e.g. --format wav.")
    if several:
        raise ClapgenError("-o - writes one sound, but several are to be generated; give a folder.")
    if sys.stdout.isatty():
        raise ClapgenError("-o - writes the sound to standard output; redirect it into a file or another program.")
    return sys.stdout.buffer


def _check_rate(destination: Destination) -> None:
    if destination.rate is None or destination.suffix not in (".opus", ".mp3"):
        return
    from clapgen.audio.writing import rates_of

    rates = rates_of(destination.suffix)
    if destination.rate not in rates:
        possible = ", ".join(map(str, rates))
        raise ClapgenError(f"--rate {destination.rate} is not possible in {destination.suffix}; use one of {possible}.")
