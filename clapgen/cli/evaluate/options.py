"""Options that every `clapgen evaluate` command has, and what becomes of its report."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clapgen.cli.cache import CacheOption, NoCacheOption, open_cache
from clapgen.cli.console import garbage_collector_off, print_json, print_warning, spinner
from clapgen.cli.options import DeviceOption, ForceOption, JsonOption, allow_hub_for, check_new_file
from clapgen.devices import check_device, choose_device
from clapgen.errors import ClapgenError
from clapgen.terminal import progress

if TYPE_CHECKING:
    from clapgen.embedders import Embedder
    from clapgen.embedders.cache import Advance
    from clapgen.evaluation import Report
    from clapgen.evaluation.setup import Setup

__all__ = ["CacheOption", "DeviceOption", "ForceOption", "JsonOption", "NoCacheOption"]

ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="CLAP to measure by: a bundled model, a model folder, or laion:FOLDER (laion:owner/name is downloaded).",
    ),
]
HtmlOption = Annotated[
    Path | None, typer.Option("--html", help="Write the report as one page too, with charts and sounds to play.")
]
CsvOption = Annotated[Path | None, typer.Option("--csv", help="Write the table of clips as CSV too.")]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict", help="Fail on what is otherwise named and left out, or bridged: broken files, lone files, rates."
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of everything that is drawn: intervals, subsets.")]
SplitOption = Annotated[str | None, typer.Option("--split", help="Only the clips of this split of the manifest.")]
TemplateOption = Annotated[
    str | None, typer.Option("--template", help="Sentence with {label} in it, which the model reads for a label.")
]
LabelFieldOption = Annotated[
    str, typer.Option("--label-field", help="Key of the manifest that holds a clip's class, such as esc50_class.")
]


@dataclass
class Outputs:
    """Where a report goes."""

    as_json: bool
    html: Path | None
    csv: Path | None
    force: bool

    def check(self) -> None:
        """Refuse files that exist, before anything slow is done."""
        for path, suffix in ((self.html, ".html"), (self.csv, ".csv")):
            if path is not None:
                if path.suffix.lower() != suffix:
                    raise ClapgenError(f"--{suffix[1:]} {path}: the name must end in {suffix}.")
                check_new_file(path, self.force)
        if self.html is not None and self.html == self.csv:
            raise ClapgenError("--html and --csv name the same file.")

    def give(self, report: Report, rank_by: str | None = None) -> None:
        """Print the report and write its files."""
        from clapgen.report.csv import write_csv
        from clapgen.report.format import count
        from clapgen.report.html import write_html
        from clapgen.report.model import numeric_columns

        if self.csv is not None:
            write_csv(report, self.csv, force=self.force)
        if self.html is not None:
            with spinner("Writing the page"):
                ranked = rank_by if rank_by in numeric_columns(report.clips) else None
                write_html(report, self.html, force=self.force, rank_by=ranked)
        if self.as_json:
            print_json(report.to_dict())
        else:
            from clapgen.cli.report import say_report

            say_report(report)
        if report.skipped:
            print_warning(f"{count(len(report.skipped), 'file')} could not be used; the report names them.")


def load_setup(
    model: str, device: str, cache: Path | None, no_cache: bool, strict: bool = False, seed: int = 0
) -> Setup:
    """Model, cache and progress bars of a command."""
    check_device(device)
    kept = open_cache(cache, no_cache)
    clap = load(model, device)
    from clapgen.embedders import ClapEmbedder
    from clapgen.evaluation.setup import Setup

    if not isinstance(clap, ClapEmbedder):
        raise ClapgenError(f"--model {model} cannot read sentences; give a CLAP, and {model} as --embedder if you can.")
    return Setup(clap, kept, _bar, strict=strict, seed=seed, command=command_line())


def load(name: str, device: str) -> Embedder:
    """An embedder by name; the hub is reached only where the user names something of it."""
    check_device(device)
    allow_hub_for(name)
    with garbage_collector_off(), spinner("Loading the model"):
        from clapgen.embedders import load_embedder

        return load_embedder(name, choose_device(device))


def labels_of(given: str | None) -> list[str] | None:
    """The labels of --labels: between commas, or of a file; None where none were given."""
    if given is None:
        return None
    from clapgen.data.text import read_text

    pieces = read_text(given[1:]).splitlines() if given.startswith("@") else given.split(",")
    names = [" ".join(piece.split()) for piece in pieces if piece.strip()]
    if len(names) < 2 or len(set(names)) < len(names):
        raise ClapgenError("--labels must name at least two labels, each once, e.g. --labels rain,wind.")
    return names


def command_line() -> str:
    """The command as it was typed, for the report."""
    return "clapgen " + shlex.join(sys.argv[1:]) if len(sys.argv) > 1 else "clapgen"


@contextmanager
def _bar(total: int, what: str) -> Iterator[Advance]:
    done = 0
    with progress(total, "clips") as update:

        def advance(count: int) -> None:
            nonlocal done
            done += count
            update(done, what)

        yield advance
