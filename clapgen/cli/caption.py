"""`clapgen caption`: describe audio in words, one caption per file or per ten seconds of it."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clapgen.cli.caption_output import Output
from clapgen.cli.console import clock, garbage_collector_off, spinner
from clapgen.cli.options import (
    MAX_HOURS,
    DeviceOption,
    ForceOption,
    JsonOption,
    MaxHoursOption,
    ModelOption,
    StrictOption,
)
from clapgen.cli.sound_files import SoundFiles, sound_files
from clapgen.devices import check_device, choose_device
from clapgen.errors import ClapgenError
from clapgen.terminal import defer_keyboard_interrupt, progress

if TYPE_CHECKING:
    from captioning.captioner import Captioner
    from captioning.decoding import Decoding

BELONGS_TO = {"beams": "beam", "length_penalty": "beam", "top_p": "nucleus", "temperature": "nucleus"}
SHORTEST_WINDOW = 0.5

EPILOG = """
[bold]Examples[/bold]

clapgen caption recording.wav\n
clapgen caption recordings/ --csv captions.csv\n
curl -s https://example.org/rain.mp3 | clapgen caption -\n
clapgen caption interview.mp3 --window 30 --json\n
clapgen caption dog.wav --bridge memory --candidates 8 --json\n
clapgen caption night/ --min-score 0.2 --sidecar\n

One file prints its caption; several print path, tab, caption; a file longer than the window prints one line per window
with its times. --json prints an object per window: path, start and end (s), caption, score (CLAP cosine of audio and
caption), unsure, note, candidates, bridge, model. Audio that peaks below -60 dBFS gets the caption Silence.
"""


def caption(
    files: Annotated[list[Path], typer.Argument(help="Audio files or folders of them; - for standard input.")],
    bridge: Annotated[
        str | None,
        typer.Option(
            "--bridge",
            "-b",
            help="Bridges over the gap between audio and text embeddings, in order, e.g. memory, mean-shift+memory or "
            "none. \\[default: the model's own]",
        ),
    ] = None,
    candidates: Annotated[
        int, typer.Option(min=1, max=64, help="Captions to generate; the one with the highest CLAP score is kept.")
    ] = 1,
    window: Annotated[
        float, typer.Option(help="Seconds of audio per caption; 0 for one caption per file of any length.")
    ] = 10.0,
    min_score: Annotated[
        float | None,
        typer.Option(help="CLAP score, -1 to 1, below which a caption is marked as unsure. \\[default: off]"),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Decoding method: beam, greedy or nucleus. \\[default: the model's own]")
    ] = None,
    beams: Annotated[int | None, typer.Option(min=1, max=64, help="Beam width.")] = None,
    length_penalty: Annotated[
        float | None, typer.Option(help="Above 0 favours longer captions, below 0 shorter ones (beam).")
    ] = None,
    top_p: Annotated[float | None, typer.Option(help="Probability mass to sample from (nucleus).")] = None,
    temperature: Annotated[float | None, typer.Option(help="Sampling temperature (nucleus).")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Random seed (nucleus).")] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Also write a table: file_name, start, end, caption_predicted, score.")
    ] = None,
    jsonl_file: Annotated[
        Path | None, typer.Option("--jsonl", help="Also write the output of --json to a file.")
    ] = None,
    sidecar: Annotated[
        bool, typer.Option("--sidecar", help="Also write <name>.caption.json next to each file.")
    ] = False,
    strict: StrictOption = False,
    max_hours: MaxHoursOption = MAX_HOURS,
    model: ModelOption = "default",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
    force: ForceOption = False,
) -> None:
    """Describe audio in words. Long files are captioned window by window, with times."""
    options = {
        "method": method,
        "beams": beams,
        "length_penalty": length_penalty,
        "top_p": top_p,
        "temperature": temperature,
        "seed": seed,
    }
    given = {key: value for key, value in options.items() if value is not None}
    _check(given, candidates, window, min_score)
    check_device(device)
    sounds = sound_files(files, strict, max_hours)
    output = Output(sounds.paths, csv_file, jsonl_file, sidecar, as_json, min_score, force)
    output.check()
    if ":" not in model:
        from clapgen.model_store import resolve_model

        resolve_model(model)  # an unknown model is an error before torch is imported
    with garbage_collector_off(), spinner("Loading the model"):
        from captioning.captioner import Captioner

        captioner = Captioner.from_pretrained(model, choose_device(device), bridge)
    decoding = _decoding(captioner.config.decoding, given, candidates)
    made_by = captioner.describe()
    source = {"name": made_by["model"], "hashes": made_by["hashes"]}
    output = dataclasses.replace(
        output,
        made_by={"bridge": made_by["bridge"], "model": source},
        settings={"candidates": candidates, "window": window, "decoding": dataclasses.asdict(decoding)},
    )
    _caption(captioner, sounds, output, window, decoding, candidates)
    sounds.finish()


def _caption(
    captioner: Captioner, sounds: SoundFiles, output: Output, window: float, decoding: Decoding, candidates: int
) -> None:
    """Caption file after file. The tables are written even if an error or Ctrl-C ends the work early."""
    from captioning.segments import caption_files

    done = 0
    try:
        with progress(len(sounds.paths), "files") as update:

            def report(path: Path, end: float) -> None:
                update(done + len(sounds.skipped), f"{path.name} {clock(end)}")

            limit = sounds.max_seconds
            for file in caption_files(
                captioner, sounds.paths, window, decoding, candidates, report=report, max_seconds=limit
            ):
                if file.error is not None:
                    sounds.skip(file.path, file.error)
                else:
                    with defer_keyboard_interrupt():  # print, sidecar and tables: all or none
                        output.add(file)
                        done += 1
                update(done + len(sounds.skipped), "Captioning")
    except KeyboardInterrupt:
        tables = " and ".join(map(str, output.write_tables()))
        where = f", in {tables}" if tables else ""
        raise KeyboardInterrupt(f"interrupted; {done} of {len(sounds.paths)} files were captioned{where}.") from None
    except BaseException:
        output.write_tables()
        raise
    output.write_tables()


def _check(given: dict[str, Any], candidates: int, window: float, min_score: float | None) -> None:
    """Refuse options out of range, before anything slow is imported."""
    from captioning.decoding import Decoding, check_decoding

    check_decoding(dataclasses.replace(Decoding(), **given), candidates, _option)
    if "method" in given:
        _check_method(given, given["method"])
    if not (window == 0 or SHORTEST_WINDOW <= window < math.inf):
        raise ClapgenError(
            f"--window must be 0 (the whole file) or at least {SHORTEST_WINDOW} seconds, not {window:g}."
        )
    if min_score is not None and not -1 <= min_score <= 1:
        raise ClapgenError(f"--min-score must be from -1 to 1, not {min_score:g}.")


def _check_method(given: dict[str, Any], method: str) -> None:
    """Refuse options that the decoding method does not have."""
    for key, owner in BELONGS_TO.items():
        if key in given and method != owner:
            raise ClapgenError(f"{_option(key)} needs --method {owner}; the decoding method is {method}.")


def _option(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _decoding(own: Decoding, given: dict[str, Any], candidates: int) -> Decoding:
    """The model's own decoding settings, replaced by those given."""
    decoding = dataclasses.replace(own, **given)
    _check_method(given, decoding.method)
    if decoding.method == "greedy" and candidates > 1:  # the model's default, which returns one caption
        return dataclasses.replace(decoding, method="beam")
    return decoding
