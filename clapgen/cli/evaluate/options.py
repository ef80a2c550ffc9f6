"""Options that all `clapgen evaluate` commands share, and what they do with a report."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clapgen.cli.cache import CacheOption, NoCacheOption, open_cache
from clapgen.cli.console import garbage_collector_off, print_json, print_warning, spinner
from clapgen.cli.options import DeviceOption, ForceOption, JsonOption, WindowOption, check_new_file, fetch_from_hub
from clapgen.devices import check_device, choose_device
from clapgen.errors import ClapgenError
from clapgen.terminal import progress

if TYPE_CHECKING:
    from clapgen.embedders import Embedder
    from clapgen.embedders.cache import Advance
    from clapgen.evaluation import Report
    from clapgen.evaluation.context import EvaluationContext

ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="CLAP model used for scoring: a bundled model, a model folder, or a public CLAP: its folder, file, or "
        "name on the Hugging Face hub (laion/clap-htsat-unfused).",
    ),
]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Also write an HTML report with charts and sounds.")]
CsvOption = Annotated[Path | None, typer.Option("--csv", help="Also write the table of clips as CSV.")]
StrictOption = Annotated[
    bool,
    typer.Option("--strict", help="Treat warnings as errors: unreadable files, unpaired files, mixed sample rates."),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Random seed for bootstrap intervals and subsets.")]
SplitOption = Annotated[str | None, typer.Option("--split", help="Only the clips of this split of the manifest.")]
LabelFieldOption = Annotated[
    str, typer.Option("--label-field", help="Key of the manifest that holds a clip's class, e.g. esc50_class.")
]
ByOption = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="FIELD|TABLE",
        help="Also give the metrics of each group of clips: by a key of the manifest, such as source, or by kinds of "
        "labels (a .csv file with the columns label and kind).",
    ),
]


@dataclass
class CommonOptions:
    """The options of every `clapgen evaluate` command; `with_common_options` adds them to its command line."""

    strict: StrictOption = False
    model: ModelOption = "default"
    window: WindowOption = "mean"
    device: DeviceOption = "auto"
    seed: SeedOption = 0
    cache: CacheOption = None
    no_cache: NoCacheOption = False
    as_json: JsonOption = False
    html: HtmlOption = None
    csv: CsvOption = None
    force: ForceOption = False

    def check_outputs(self) -> None:
        """Refuse existing output files, before anything slow is done."""
        for path, suffix in ((self.html, ".html"), (self.csv, ".csv")):
            if path is not None:
                if path.suffix.lower() != suffix:
                    raise ClapgenError(f"--{suffix[1:]} {path}: the name must end in {suffix}.")
                check_new_file(path, self.force)
        if self.html is not None and self.html == self.csv:
            raise ClapgenError("--html and --csv name the same file.")

    def context(self, needs_model: bool = True) -> EvaluationContext:
        """The context of the evaluation, with the model loaded if it needs one."""
        if not needs_model:
            from clapgen.evaluation.context import EvaluationContext

            return EvaluationContext(progress=clips_bar, strict=self.strict, seed=self.seed, command=command_line())
        check_device(self.device)
        cache = open_cache(self.cache, self.no_cache)
        clap = load(self.model if self.window == "mean" else f"{self.model},window={self.window}", self.device)
        from clapgen.embedders import ClapEmbedder
        from clapgen.evaluation.context import EvaluationContext

        if not isinstance(clap, ClapEmbedder):
            raise ClapgenError(
                f"--model {self.model} has no text encoder; give a CLAP. {self.model} can be used as --embedder of "
                "`clapgen evaluate generation`."
            )
        return EvaluationContext(clap, cache, clips_bar, self.strict, self.seed, command_line())

    def give(self, report: Report, rank_by: str | None = None) -> None:
        """Print the report and write its files; the HTML report shows the worst and best clips by `rank_by`."""
        from clapgen.report.csv import write_csv
        from clapgen.report.format import count
        from clapgen.report.html import write_html
        from clapgen.report.model import numeric_columns

        if self.csv is not None:
            write_csv(report, self.csv, force=self.force)
        if self.html is not None:
            with spinner("Writing the HTML report"):
                ranked = rank_by if rank_by in numeric_columns(report.clips) else None
                foreign = write_html(report, self.html, force=self.force, rank_by=ranked)
            if foreign:
                first = f"{foreign[0]}, …" if foreign[1:] else foreign[0]
                print_warning(
                    f"{count(len(foreign), 'sound')} named in a table ({first}) cannot be played in {self.html}: only "
                    "files, folders and manifests given as input are part of the page."
                )
        if self.as_json:
            print_json(report.to_dict())
        else:
            from clapgen.cli.report import print_report

            print_report(report)
        if report.skipped:
            print_warning(f"{count(len(report.skipped), 'file')} could not be used (listed in the report)")


def with_common_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the fields of `CommonOptions` to a command's options; it receives them as its argument `common`.

    An option that the command has itself, under the same name, is the command's.
    """
    own = [each for each in inspect.signature(command, eval_str=True).parameters.values() if each.name != "common"]
    taken = {each.name for each in own}
    parameters = inspect.signature(CommonOptions, eval_str=True).parameters
    shared = {name: each for name, each in parameters.items() if name not in taken}

    def run(**arguments: Any) -> None:
        common = CommonOptions(**{name: arguments.pop(name) for name in shared})
        common.check_outputs()
        command(**arguments, common=common)

    run.__signature__ = inspect.Signature([*own, *shared.values()])  # type: ignore[attr-defined]
    run.__doc__, run.__name__ = command.__doc__, command.__name__
    run.__annotations__ = {}  # typer takes them from the signature
    return run


def load(name: str, device: str) -> Embedder:
    """An embedder by name; the hub is contacted only if the name refers to it."""
    check_device(device)
    fetch_from_hub(name)
    with garbage_collector_off(), spinner("Loading the model"):
        from clapgen.embedders import load_embedder

        return load_embedder(name, choose_device(device))


def command_line() -> str:
    """The command as it was typed, for the report."""
    return "clapgen " + shlex.join(sys.argv[1:]) if len(sys.argv) > 1 else "clapgen"


@contextmanager
def clips_bar(total: int, what: str) -> Iterator[Advance]:
    """A progress bar over clips; yields a function to call with how many more are done."""
    done = 0
    with progress(total, "clips") as update:

        def advance(count: int) -> None:
            nonlocal done
            done += count
            update(done, what)

        yield advance
