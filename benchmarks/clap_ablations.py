"""A table of training runs of the CLAP, each with one change, measured in the same way on the same held-out clips.

    python benchmarks/clap_ablations.py MANIFEST NAME=RUN [NAME=RUN …] [--split val] [--where kit=1] [--json FILE]

RUN is the output folder of `clapgen train clap`, or a model. Runs of the same NAME, such as with other seeds, share a
row: the mean of their metrics and the largest distance from it. The first row is the one that the others are compared
with: "*" marks what is outside of its 95% interval.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from clapgen.clap import Clap
from clapgen.data.manifest import held_out_clips, save_manifest
from clapgen.data.splits import values_of
from clapgen.embedders.cache import EmbeddingCache
from clapgen.errors import ClapgenError
from clapgen.evaluation.composition import evaluate_composition
from clapgen.evaluation.context import EvaluationContext
from clapgen.evaluation.retrieval import evaluate_retrieval
from clapgen.evaluation.zero_shot import evaluate_zero_shot
from clapgen.report.model import Metric, Report

COLUMNS = {  # heading: evaluation and the name of its metric
    "zero-shot": ("classes", "accuracy"),
    "labels mAP@10": ("labels", "mAP@10 of the labels of a clip"),
    "text→audio R@10": ("retrieval", "text to audio R@10, identical captions"),
    "audio→text R@10": ("retrieval", "audio to text R@10, identical captions"),
    "order": ("composition", "order: group score"),
    "exchanged": ("composition", "overlap, one exchanged: group score"),
    "added": ("composition", "overlap, one added: group score"),
}


@dataclass
class Measured:
    """The metrics of one run by column, and how long it was trained."""

    metrics: dict[str, Metric]
    steps: int | None = None
    hours: float | None = None


@dataclass
class Row:
    """All runs of one name."""

    name: str
    runs: list[Measured] = field(default_factory=list)

    def value(self, column: str) -> tuple[float, float] | None:
        """Mean over the runs, and the largest distance from it; None if a run does not have it."""
        values = [run.metrics[column].value for run in self.runs if column in run.metrics]
        known = [value for value in values if value is not None]
        if not known or len(known) < len(self.runs):
            return None
        mean = sum(known) / len(known)
        return mean, max(abs(value - mean) for value in known)


def main() -> None:
    arguments = parse()
    rows: dict[str, Row] = {}
    try:
        with tempfile.TemporaryDirectory() as folder:
            manifest = chosen_clips(arguments, Path(folder) / "manifest.jsonl")
            for run in arguments.runs:
                name, equals, path = run.partition("=")
                if not equals or not path:
                    raise ClapgenError(f"'{run}' must be NAME=RUN.")
                print(f"measuring {name}: {path}", file=sys.stderr)
                rows.setdefault(name, Row(name)).runs.append(measure(Path(path), manifest, arguments))
    except ClapgenError as error:
        sys.exit(str(error))
    print_rows(list(rows.values()))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps([as_json(row) for row in rows.values()], indent=1))


def chosen_clips(arguments: argparse.Namespace, target: Path) -> Path:
    """A manifest of the clips to measure on."""
    clips = held_out_clips(arguments.manifest, arguments.split)
    for condition in arguments.where:
        key, _, value = condition.partition("=")
        clips = [clip for clip, values in zip(clips, values_of(clips, key), strict=True) if value in values]
    if not clips:
        raise ClapgenError(f"{arguments.manifest} has no clip of split {arguments.split} with {arguments.where}.")
    save_manifest(clips, target)
    return target


def measure(run: Path, manifest: Path, arguments: argparse.Namespace) -> Measured:
    """Evaluate the model of a run."""
    model = run / "model" if (run / "model").is_dir() else run
    context = EvaluationContext(Clap.from_pretrained(str(model)), EmbeddingCache(arguments.cache))
    class_field = arguments.class_field
    reports: dict[str, Report] = {
        "classes": evaluate_zero_shot(manifest, context, label_field=class_field),
        "labels": evaluate_zero_shot(manifest, context),
        "retrieval": evaluate_retrieval(manifest, context),
        "composition": evaluate_composition(context, manifest=manifest, label_field=class_field, items=arguments.items),
    }
    metrics = {}
    for column, (which, name) in COLUMNS.items():
        found = [metric for metric in reports[which].metrics if metric.name == name]
        if found:
            metrics[column] = found[0]
    return Measured(metrics, *length_of(run))


def length_of(run: Path) -> tuple[int | None, float | None]:
    """Steps and hours of training, from the last line of the run's log."""
    log = run / "log.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    timed = [line for line in map(json.loads, lines) if "hours" in line]
    return (timed[-1]["step"], timed[-1]["hours"]) if timed else (None, None)


def print_rows(rows: Sequence[Row]) -> None:
    """Percentages of all rows."""
    table = Table("run", *COLUMNS, "steps", "hours")
    for row in rows:
        cells = [cell(row, rows[0], column) for column in COLUMNS]
        steps = [str(run.steps) for run in row.runs if run.steps is not None]
        hours = [f"{run.hours:.2f}" for run in row.runs if run.hours is not None]
        name = row.name + (f" ({len(row.runs)} runs)" if len(row.runs) > 1 else "")
        table.add_row(name, *cells, ", ".join(dict.fromkeys(steps)), ", ".join(hours))
    Console(width=180).print(table)


def cell(row: Row, first: Row, column: str) -> str:
    """A percentage, the distance of other seeds from it, and whether it is outside the first row's interval."""
    found = row.value(column)
    if found is None:
        return "–"
    mean, distance = found
    spread = f" ±{100 * distance:.1f}" if len(row.runs) > 1 else ""
    intervals = [run.metrics[column].interval for run in first.runs if column in run.metrics]
    known = [interval for interval in intervals if interval is not None]
    outside = row is not first and all(not low <= mean <= high for low, high in known) and bool(known)
    return f"{100 * mean:.1f}{spread}{'*' if outside else ''}"


def as_json(row: Row) -> dict[str, object]:
    """All metrics of a row, with their intervals and number of queries."""
    runs = [
        {name: vars(metric) for name, metric in run.metrics.items()} | {"steps": run.steps, "hours": run.hours}
        for run in row.runs
    ]
    return {"name": row.name, "runs": runs}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    parser.add_argument("--split", default="val")
    parser.add_argument("--where", action="append", default=[], metavar="FIELD=VALUE", help="only these clips")
    parser.add_argument("--class-field", default="esc50_class")
    parser.add_argument("--items", type=int, default=200, help="composition tests of each kind")
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--json", default="", metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
