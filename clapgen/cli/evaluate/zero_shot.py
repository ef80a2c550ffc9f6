"""`clapgen evaluate zero-shot`: classifying sounds by prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clapgen.cli.evaluate.options import (
    CacheOption,
    CsvOption,
    DeviceOption,
    ForceOption,
    HtmlOption,
    JsonOption,
    LabelFieldOption,
    ModelOption,
    NoCacheOption,
    Outputs,
    SeedOption,
    SplitOption,
    StrictOption,
    labels_of,
    load_setup,
)
from clapgen.cli.options import check_new_file
from clapgen.errors import ClapgenError

EPILOG = """
[bold]Examples[/bold]

clapgen evaluate zero-shot ESC-50/ --confusion confusion.png\n
clapgen evaluate zero-shot manifest.jsonl --split val --label-field esc50_class --html report.html\n
clapgen evaluate zero-shot manifest.jsonl --template "{label}" --template "the sound of {label}"\n

Clips that have one label each are classified; where some have several, they are tagged, and mAP is measured.
"""


def zero_shot(
    source: Annotated[
        Path, typer.Argument(help="Manifest (.jsonl) of labelled clips, or the ESC-50 folder with meta/ and audio/.")
    ],
    label_field: LabelFieldOption = "labels",
    template: Annotated[
        list[str] | None,
        typer.Option(
            "--template", help="Sentence with {label} in it; given several times, their embeddings are averaged."
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option("--labels", "-l", help="All classes, if there are more than clips of: between commas, or @FILE."),
    ] = None,
    confusion: Annotated[
        Path | None, typer.Option("--confusion", help="Draw the confusion matrix too: a .png file.")
    ] = None,
    split: SplitOption = None,
    strict: StrictOption = False,
    model: ModelOption = "default",
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    cache: CacheOption = None,
    no_cache: NoCacheOption = False,
    as_json: JsonOption = False,
    html: HtmlOption = None,
    csv: CsvOption = None,
    force: ForceOption = False,
) -> None:
    """Measure zero-shot classification: accuracy, a row a class, confusion; mAP where clips have several labels."""
    outputs = Outputs(as_json, html, csv, force)
    outputs.check()
    if confusion is not None:
        check_new_file(confusion, force)
    names = labels_of(labels)
    setup = load_setup(model, device, cache, no_cache, strict, seed)
    from clapgen.evaluation.zero_shot import evaluate_zero_shot
    from clapgen.metrics.embeddings.zero_shot import DEFAULT_TEMPLATE

    templates = template or [DEFAULT_TEMPLATE]
    report = evaluate_zero_shot(source, setup, label_field=label_field, templates=templates, split=split, labels=names)
    outputs.give(report, "margin")
    if confusion is not None:
        if report.confusion is None:
            raise ClapgenError("--confusion: clips of several labels have no confusion matrix; leave it out.")
        from clapgen.plot import confusion_png

        confusion_png(report.confusion.labels, report.confusion.counts, confusion, overwrite=force)
