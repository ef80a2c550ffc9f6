"""`clapgen score`: how well sounds fit a text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clapgen.cli.console import print_json, print_table, progress, spinner
from clapgen.cli.options import DeviceOption, JsonOption, ModelOption, StrictOption
from clapgen.cli.sound_files import sound_files
from clapgen.data.text import clean_prompt
from clapgen.devices import check_device, choose_device
from clapgen.errors import ClapgenError

EPILOG = """
[bold]Examples[/bold]

clapgen score rain.wav "rain on a tin roof"\n
clapgen score take1.wav take2.wav take3.wav "a dog barks" --json\n
"""


def score(
    files_and_text: Annotated[
        list[str], typer.Argument(metavar="FILE... TEXT", help="Sound files or folders, then the text, in quotes.")
    ],
    strict: StrictOption = False,
    model: ModelOption = "default",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Print the CLAP score of sounds and a text: their cosine, from -1 to 1; higher fits better."""
    *files, text = files_and_text
    if not files or (len(text) < 256 and Path(text).is_file()):
        raise ClapgenError("give the sound files first and the text last: clapgen score rain.wav 'rain on a roof'.")
    text = clean_prompt(text, "the text")
    check_device(device)
    sounds = sound_files(list(map(Path, files)), strict)
    from clapgen.model_store import resolve_model

    resolve_model(model)
    with spinner("Loading the model"):
        from clapgen.clap import Clap

        clap = Clap.from_pretrained(model, device=choose_device(device))
    embedded_text = clap.embed_text([text])
    scores: list[tuple[Path, float]] = []
    with progress(len(sounds.paths), "files") as update:
        for path, waveform in sounds.read(clap.sample_rate):
            cosines = clap.similarity(clap.embed_audio([waveform], clap.sample_rate), embedded_text)
            scores.append((path, float(cosines[0, 0])))
            update(len(scores) + len(sounds.skipped), "Scoring")
    if as_json:
        for path, cosine in scores:
            print_json({"path": str(path), "text": text, "score": cosine, "model": clap.name, "model_hash": clap.hash})
    else:
        print_table(("file", "CLAP score"), [(str(path), f"{cosine:.3f}") for path, cosine in scores])
    sounds.finish()
