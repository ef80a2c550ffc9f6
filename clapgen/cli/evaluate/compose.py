"""`clapgen evaluate compose`: does the model tell the order and the overlap of sounds, and what follows from them?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clapgen.cli.evaluate.options import CommonOptions, LabelFieldOption, SplitOption, with_common_options
from clapgen.data.text import parse_labels

EPILOG = """
[bold]Examples[/bold]

clapgen evaluate compose manifest.jsonl --split val --label-field esc50_class\n
clapgen evaluate compose manifest.jsonl --label-field esc50_class --ladder --unseen dog,rain\n
clapgen evaluate compose --pairs compa.csv\n
clapgen evaluate compose --entailment test.csv --entailment-dev dev.csv\n

Pairs have the columns audio_0, caption_0, audio_1, caption_1: two sounds of the same events with their captions.
Entailment has path, hypothesis and label: entailment, neutral or contradiction. Files are relative to the table.
"""


@with_common_options
def compose(
    common: CommonOptions,
    manifest: Annotated[
        Path | None, typer.Argument(help="Manifest (.jsonl, .csv) of clips with one label each, to join and mix.")
    ] = None,
    pairs: Annotated[Path | None, typer.Option("--pairs", help="Table of pairs in the format of CompA.")] = None,
    entailment: Annotated[
        Path | None, typer.Option("--entailment", help="Table of sounds, sentences and whether they follow.")
    ] = None,
    entailment_dev: Annotated[
        Path | None, typer.Option("--entailment-dev", help="Table of the same kind to fit the two thresholds on.")
    ] = None,
    items: Annotated[int, typer.Option(min=1, help="Number of tests of each kind composed from the manifest.")] = 200,
    ladder: Annotated[
        bool, typer.Option("--ladder", help="Also five tasks, each harder: one class, one of two, both, order, unseen.")
    ] = False,
    unseen: Annotated[
        str | None,
        typer.Option(
            "--unseen", help="Classes not trained on, for the last task of --ladder: comma-separated, or @FILE."
        ),
    ] = None,
    label_field: LabelFieldOption = "labels",
    split: SplitOption = None,
) -> None:
    """Measure compositional reasoning: scores of order, overlap and absence; audio entailment."""
    names = [] if unseen is None else parse_labels(unseen, "--unseen")
    context = common.context()
    from clapgen.evaluation.composition import evaluate_composition

    report = evaluate_composition(
        context,
        manifest=manifest,
        pairs=pairs,
        entailment=entailment,
        entailment_dev=entailment_dev,
        label_field=label_field,
        split=split,
        items=items,
        ladder=ladder,
        unseen=names,
    )
    common.give(report, "margin")
