"""`clapgen score`: how well audio matches a text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clapgen.cli.console import print_json, print_table
from clapgen.cli.options import (
    MAX_HOURS,
    ClapOption,
    DeviceOption,
    JsonOption,
    MaxHoursOption,
    StrictOption,
    WindowOption,
    load_clap_option,
    print_text_warnings,
)
from clapgen.cli.sound_files import sound_files
from clapgen.data.text import clean_prompt
from clapgen.devices import check_device
from clapgen.errors import ClapgenError
from clapgen.terminal import progress

EPILOG = """
[bold]Examples[/bold]

clapgen score rain.wav "rain on a tin roof"\n
ffmpeg -i film.mkv -f wav - | clapgen score - "rain on a tin roof"\n
clapgen score take1.wav take2.wav take3.wav "a dog barks" --json\n
"""


def score(
    files_and_text: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE... TEXT", help="Audio files or folders (- for standard input), then the text in quotes."
        ),
    ],
    strict: StrictOption = False,
    max_hours: MaxHoursOption = MAX_HOURS,
    model: ClapOption = "default",
    window: WindowOption = "mean",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Print the CLAP score of audio and a text: the cosine of their embeddings, -1 to 1, higher is better."""
    *files, text = files_and_text
    if not files or (len(text) < 256 and Path(text).is_file()):
        raise ClapgenError("give the audio files first and the text last: clapgen score rain.wav 'rain on a roof'.")
    text = clean_prompt(text, "the text")
    check_device(device)
    sounds = sound_files(list(map(Path, files)), strict, max_hours)
    clap = load_clap_option(model, device, window)
    embedded_text = clap.embed_text([text])
    print_text_warnings([text], clap)
    scores: list[tuple[Path, float]] = []
    with progress(len(sounds.paths), "files") as update:
        for path, embedding in sounds.embed(clap):
            scores.append((path, float(embedded_text[0] @ embedding)))
            update(len(scores) + len(sounds.skipped), "Scoring")
    if as_json:
        for path, cosine in scores:
            print_json(
                {
                    "path": str(path),
                    "text": text,
                    "score": cosine,
                    "model": clap.name,
                    "model_hash": clap.hash,
                }
            )
    else:
        print_table(("file", "CLAP score"), [(str(path), f"{cosine:.3f}") for path, cosine in scores])
    sounds.finish()
