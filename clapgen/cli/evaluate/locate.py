"""`clapgen evaluate locate`: are sounds found where they are, and only there?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clapgen.cli.evaluate.options import CommonOptions, LabelFieldOption, SplitOption, with_common_options

EPILOG = """
[bold]Examples[/bold]

clapgen evaluate locate scenes/manifest.jsonl --html report.html\n
clapgen evaluate locate manifest.jsonl --split val --compose 300 --json\n
clapgen evaluate locate strong_labels.tsv --template "{label}" --json\n

Events are in the manifest's key "events" (objects with label, start and end or duration), or in a table with one event
per row: filename, onset, offset, event_label. Each recording is asked for its own labels and for some that are not in
it. The cosine of sliding windows is measured on the same queries as a baseline.
"""


@with_common_options
def locate(
    source: Annotated[Path, typer.Argument(help="Manifest (.jsonl) with events, or table (.csv, .tsv) of events.")],
    common: CommonOptions,
    compose: Annotated[
        int | None,
        typer.Option(min=1, help="Compose this many scenes of the manifest's labelled clips, and evaluate on those."),
    ] = None,
    absent: Annotated[
        int, typer.Option(min=0, help="Labels to ask each recording for that are not in it, drawn at random.")
    ] = 16,
    threshold: Annotated[
        float | None, typer.Option(help="Probability, 0 to 1, of a segment. \\[default: the model's own]")
    ] = None,
    template: Annotated[
        str | None, typer.Option("--template", help="Prompt with {label}. \\[default: the calibration's own]")
    ] = None,
    collar: Annotated[float, typer.Option(help="Seconds by which the ends of a segment may be wrong.")] = 0.5,
    window: Annotated[float, typer.Option(help="Seconds of the windows of the baseline.")] = 2.0,
    label_field: LabelFieldOption = "labels",
    split: SplitOption = None,
) -> None:
    """Measure where sounds are found: frame AUROC, segment F1, false alarms, calibration, against a baseline."""
    from clapgen.evaluation.localisation import LocalisationOptions, evaluate_localisation

    options = LocalisationOptions(absent, threshold, template, collar, window)
    context = common.context()
    report = evaluate_localisation(source, context, options, split=split, compose=compose, label_field=label_field)
    common.give(report, "frame AUROC")
