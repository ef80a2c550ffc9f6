"""`clapgen evaluate compose`: does the model hear order, overlap, and what a sentence claims."""

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
    load_setup,
)

EPILOG = """
[bold]Examples[/bold]

clapgen evaluate compose manifest.jsonl --split val --label-field esc50_class\n
clapgen evaluate compose --pairs compa.csv\n
clapgen evaluate compose --entailment test.csv --entailment-dev dev.csv\n

Pairs have the columns audio_0, caption_0, audio_1, caption_1: two sounds of the same events and whose caption is which.
Entailment has path, hypothesis and label: entailment, neutral or contradiction. Files are relative to the table.
"""


def compose(
    manifest: Annotated[
        Path | None, typer.Argument(help="Manifest (.jsonl) of clips with one label each, to join and mix.")
    ] = None,
    pairs: Annotated[Path | None, typer.Option("--pairs", help="Table of pairs, as CompA has them.")] = None,
    entailment: Annotated[
        Path | None, typer.Option("--entailment", help="Table of sounds, sentences and whether they follow.")
    ] = None,
    entailment_dev: Annotated[
        Path | None, typer.Option("--entailment-dev", help="Table of the same kind to fit the two thresholds on.")
    ] = None,
    items: Annotated[int, typer.Option(min=1, help="How many tests of each kind to make from the manifest.")] = 200,
    label_field: LabelFieldOption = "labels",
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
    """Measure composition: text, audio and group score of order and overlap, and audio entailment."""
    outputs = Outputs(as_json, html, csv, force)
    outputs.check()
    setup = load_setup(model, device, cache, no_cache, strict, seed)
    from clapgen.evaluation.composition import evaluate_composition

    report = evaluate_composition(
        setup,
        manifest=manifest,
        pairs=pairs,
        entailment=entailment,
        entailment_dev=entailment_dev,
        label_field=label_field,
        split=split,
        items=items,
    )
    outputs.give(report, "margin")
