"""`clapgen caption`: a sentence that says what is heard, for every sound or every ten seconds of it."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clapgen.cli.caption_output import Output, clock
from clapgen.cli.console import garbage_collector_off, spinner
from clapgen.cli.options import DeviceOption, ForceOption, JsonOption, ModelOption, StrictOption
from clapgen.cli.sound_files import SoundFiles, sound_files
from clapgen.devices import check_device, choose_device
from clapgen.errors import ClapgenError, nearest
from clapgen.terminal import defer_keyboard_interrupt, progress

if TYPE_CHECKING:
    from captioning.captioner import Captioner
    from captioning.decoder import Decoding

METHODS = ("beam", "greedy", "nucleus")
BELONGS_TO = {"beams": "beam", "length_penalty": "beam", "top_p": "nucleus", "temperature": "nucleus"}
SHORTEST_WINDOW = 0.5

EPILOG = """
[bold]Examples[/bold]

clapgen caption recording.wav\n
clapgen caption recordings/ --csv captions.csv\n
clapgen caption interview.mp3 --window 30 --json\n
clapgen caption dog.wav --bridge memory --candidates 8 --json\n
clapgen caption night/ --min-score 0.2 --sidecar\n

One sound gives its caption alone; several give lines of path, tab, caption; a sound longer than the window a line for
each window with its times. --json gives an object a window: path, start and end (s), caption, score (CLAP cosine of
sound and caption), unsure, note, candidates, bridge, model. A sound that peaks below -60 dBFS is called Silence.
"""


def caption(
    files: Annotated[list[Path], typer.Argument(help="Sound files, or folders of them.")],
    bridge: Annotated[
        str | None,
        typer.Option(
            "--bridge",
            "-b",
            help="Bridges over the gap between sound and text, in order: memory, mean-shift+memory, none. "
            "\\[default: the model's own]",
        ),
    ] = None,
    candidates: Annotated[
        int, typer.Option(min=1, max=64, help="Make this many captions, and keep the one CLAP finds nearest the sound.")
    ] = 1,
    window: Annotated[
        float, typer.Option(help="Seconds of sound to a caption; 0 gives one caption to a file of any length.")
    ] = 10.0,
    min_score: Annotated[
        float | None,
        typer.Option(help="CLAP score, -1 to 1, below which a caption is marked as unsure. \\[default: none is]"),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help=f"How words are searched for: {', '.join(METHODS)}. \\[default: the model's own]")
    ] = None,
    beams: Annotated[int | None, typer.Option(min=1, max=64, help="Captions kept while searching by beam.")] = None,
    length_penalty: Annotated[
        float | None, typer.Option(help="Above 0 favours longer captions, below 0 shorter ones (beam).")
    ] = None,
    top_p: Annotated[float | None, typer.Option(help="Share of likely words to draw from (nucleus).")] = None,
    temperature: Annotated[float | None, typer.Option(help="Above 1 draws more freely (nucleus).")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Another seed draws other captions (nucleus).")] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Also write a table: file_name, start, end, caption_predicted, score.")
    ] = None,
    jsonl_file: Annotated[
        Path | None, typer.Option("--jsonl", help="Also write the lines of --json to a file.")
    ] = None,
    sidecar: Annotated[
        bool, typer.Option("--sidecar", help="Also write <name>.caption.json beside each sound.")
    ] = False,
    strict: StrictOption = False,
    model: ModelOption = "default",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
    force: ForceOption = False,
) -> None:
    """Say in a sentence what is heard. Long sounds are captioned window by window, with times."""
    asked = {
        "method": method,
        "beams": beams,
        "length_penalty": length_penalty,
        "top_p": top_p,
        "temperature": temperature,
        "seed": seed,
    }
    given = {key: value for key, value in asked.items() if value is not None}
    _check(given, candidates, window, min_score)
    check_device(device)
    sounds = sound_files(files, strict)
    output = Output(sounds.paths, csv_file, jsonl_file, sidecar, as_json, min_score, force)
    output.check()
    from clapgen.model_store import resolve_model

    resolve_model(model)
    with garbage_collector_off(), spinner("Loading the model"):
        from captioning.captioner import Captioner

        captioner = Captioner.from_pretrained(model, choose_device(device), bridge)
    decoding = _decoding(captioner.config.decoding, given, candidates)
    made_by = captioner.describe()
    hashes = {"name": made_by["model"], "hashes": made_by["hashes"]}
    output = dataclasses.replace(
        output,
        made_by={"bridge": made_by["bridge"], "model": hashes},
        settings={"candidates": candidates, "window": window, "decoding": dataclasses.asdict(decoding)},
    )
    _caption(captioner, sounds, output, window, decoding, candidates)
    sounds.finish()


def _caption(
    captioner: Captioner, sounds: SoundFiles, output: Output, window: float, decoding: Decoding, candidates: int
) -> None:
    """Caption and say file after file. Whatever ends the work, tables are written with what is done."""
    from captioning.segments import caption_files

    done = 0
    try:
        with progress(len(sounds.paths), "files") as update:

            def report(path: Path, end: float) -> None:
                update(done + len(sounds.skipped), f"{path.name} {clock(end)}")

            for file in caption_files(captioner, sounds.paths, window, decoding, candidates, report=report):
                if file.error is not None:
                    sounds.leave_out(file.path, file.error)
                else:
                    with defer_keyboard_interrupt():  # said, in its sidecar and in the tables, or none of it
                        output.add(file)
                        done += 1
                update(done + len(sounds.skipped), "Captioning")
    except KeyboardInterrupt:
        tables = " and ".join(map(str, output.write_tables()))
        where = f", in {tables}" if tables else ""
        raise KeyboardInterrupt(f"interrupted; {done} of {len(sounds.paths)} files are captioned{where}.") from None
    except BaseException:
        output.write_tables()
        raise
    output.write_tables()


def _check(given: dict[str, Any], candidates: int, window: float, min_score: float | None) -> None:
    """Refuse what cannot be meant, before anything slow is imported."""
    method = given.get("method")
    if method is not None and method not in METHODS:
        raise ClapgenError(f"--method must be one of {', '.join(METHODS)}, not '{method}'.{nearest(method, METHODS)}")
    for key, owner in BELONGS_TO.items():
        if key in given and method not in (None, owner):
            raise ClapgenError(f"--{key.replace('_', '-')} is a setting of --method {owner}, not of {method}.")
    if method == "greedy" and candidates > 1:
        raise ClapgenError("--method greedy knows one caption alone; take beam or nucleus for several --candidates.")
    if not (window == 0 or SHORTEST_WINDOW <= window < math.inf):
        raise ClapgenError(
            f"--window must be 0 (the whole file) or at least {SHORTEST_WINDOW} seconds, not {window:g}."
        )
    if min_score is not None and not -1 <= min_score <= 1:
        raise ClapgenError(f"--min-score must be from -1 to 1, not {min_score:g}.")
    if not math.isfinite(given.get("length_penalty", 0)):
        raise ClapgenError("--length-penalty must be a finite number.")
    if not 0 < given.get("top_p", 1) <= 1:
        raise ClapgenError(f"--top-p must be above 0 and at most 1, not {given['top_p']:g}.")
    if not 0 < given.get("temperature", 1) < math.inf:
        raise ClapgenError(f"--temperature must be above 0, not {given['temperature']:g}.")


def _decoding(usual: Decoding, given: dict[str, Any], candidates: int) -> Decoding:
    """The model's way of decoding, with what was asked for in its place."""
    decoding = dataclasses.replace(usual, **given)
    for key, owner in BELONGS_TO.items():
        if key in given and decoding.method != owner:
            raise ClapgenError(f"--{key.replace('_', '-')} needs --method {owner}; this model's own is {usual.method}.")
    if decoding.method == "greedy" and candidates > 1:  # the model's own, which knows one caption alone
        return dataclasses.replace(decoding, method="beam")
    return decoding
