"""`clapgen locate`: where in a file a sound is, with probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clapgen.cli.console import clock
from clapgen.cli.locate_output import LocateOutput
from clapgen.cli.options import (
    MAX_HOURS,
    ClapOption,
    DeviceOption,
    ForceOption,
    JsonOption,
    MaxHoursOption,
    load_clap_option,
    print_text_warnings,
)
from clapgen.cli.sound_files import sound_files
from clapgen.devices import check_device
from clapgen.errors import ClapgenError
from clapgen.terminal import progress

if TYPE_CHECKING:
    import numpy as np

EPILOG = """
[bold]Examples[/bold]

clapgen locate recording.wav "dog bark"\n
clapgen locate night.flac "owl" "fox" "rain" --labels night.txt --csv night.csv\n
clapgen locate film.mp4 --queries sounds.txt --threshold 0.7 --json\n
clapgen locate recording.wav "glass breaking" --plot glass.png\n

--json prints an object per query: path, query, segments (start, end, probability, peak), peak, peak_time, mean,
threshold, seconds, note, model, model_hash. Times are in seconds. The probability of a segment is the mean over it.
Probabilities assume that a sound is there half of the time.
"""


def locate(
    file: Annotated[Path, typer.Argument(help="Audio file of any length; - for standard input.")],
    queries: Annotated[
        list[str] | None, typer.Argument(metavar="QUERY...", help="What to look for, each in quotes.")
    ] = None,
    queries_file: Annotated[
        Path | None, typer.Option("--queries", "-q", help="Text file with one query per line.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", "-t", help="Probability, 0 to 1, of a segment. \\[default: the model's own]"),
    ] = None,
    min_seconds: Annotated[float, typer.Option(help="Shortest segment, in seconds.")] = 0.2,
    max_gap: Annotated[float, typer.Option(help="Longest pause within a segment, in seconds.")] = 0.4,
    template: Annotated[
        str, typer.Option(help="Prompt template with {label} for the queries, e.g. 'the sound of {label}'.")
    ] = "{label}",
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Also write a table: file_name, query, start, end, probability, peak.")
    ] = None,
    labels_file: Annotated[
        Path | None, typer.Option("--labels", "-l", help="Also write a label track for Audacity (.txt).")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Also draw the probabilities over the spectrogram to a .png file.")
    ] = None,
    max_hours: MaxHoursOption = MAX_HOURS,
    model: ClapOption = "default",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
    force: ForceOption = False,
) -> None:
    """Find where in a file sounds are. Files may be hours long."""
    from clapgen.localisation.queries import check_queries
    from clapgen.localisation.segments import SegmentRules

    names = check_queries(_queries(queries or [], queries_file))
    SegmentRules(0.5 if threshold is None else threshold, min_seconds, max_gap)  # an error before torch is imported
    if "{label}" not in template:
        raise ClapgenError("--template must contain {label}, e.g. 'the sound of {label}'.")
    check_device(device)
    path = _one_file(file, max_hours)
    output = LocateOutput(path, csv_file, labels_file, plot, as_json, force)
    output.check()
    clap = load_clap_option(model, device)
    print_text_warnings(names, clap, "queries")
    from clapgen.localisation.locating import ignore, locate
    from clapgen.localisation.probabilities import frame_probability

    probability = frame_probability(clap)
    rules = SegmentRules(probability.threshold if threshold is None else threshold, min_seconds, max_gap)
    picture = output.picture(clap.sample_rate, names)
    with _progress(path) as advance:

        def on_audio(piece: np.ndarray) -> None:
            advance(len(piece) / clap.sample_rate)
            if picture:
                picture.add_audio(piece)

        found = locate(
            clap,
            path,
            names,
            rules=rules,
            template=template,
            probability=probability,
            max_seconds=3600 * max_hours,
            on_audio=on_audio,
            on_curves=picture.add_curves if picture else ignore,
        )
    output.give(found, rules, clap, picture)


def _queries(given: list[str], path: Path | None) -> list[str]:
    from clapgen.localisation.queries import read_queries

    for query in given:
        if len(query) < 256 and "\0" not in query and Path(query).is_file():
            raise ClapgenError(f"{query} is a file; give one file, then what to look for in it.")
    return given + (read_queries(path) if path else [])


def _one_file(file: Path, max_hours: float) -> Path:
    if file.is_dir():
        raise ClapgenError(f"{file} is a folder; give one file.")
    paths = sound_files([file], strict=True, max_hours=max_hours).paths
    if len(paths) > 1:
        raise ClapgenError(f"{file} matches {len(paths)} files; give one.")
    return paths[0]


@contextmanager
def _progress(path: Path) -> Iterator[Callable[[float], None]]:
    """A progress bar in seconds of sound; yields a function to call with how many more have been read."""
    from clapgen.audio.decoding import STDIN, open_reader

    total = None
    if str(path) != STDIN:
        with open_reader(path) as reader:
            total = reader.seconds()
    done = 0.0
    with progress(None if total is None else round(total), "s") as update:

        def advance(seconds: float) -> None:
            nonlocal done
            done += seconds
            update(round(done), f"Locating {clock(round(done))}")

        yield advance
