"""`clapgen evaluate captions`: captions against references, labels and sounds."""

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
    ModelOption,
    NoCacheOption,
    Outputs,
    SeedOption,
    StrictOption,
    command_line,
    load_setup,
)
from clapgen.errors import ClapgenError

EPILOG = """
[bold]Examples[/bold]

clapgen evaluate captions captions.csv\n
clapgen caption recordings/ --csv captions.csv && clapgen evaluate captions captions.csv -r manifest.jsonl\n
clapgen evaluate captions captions.jsonl --audio recordings/ --html report.html\n
clapgen evaluate captions captions.csv --aac-metrics spice,meteor,fense --aac-python aac/bin/python\n

A .csv has the columns of aac-metrics: file_name, caption_predicted, caption_1, caption_2, … and perhaps labels,
between semicolons. A .jsonl has objects with file_name, caption_predicted, references and labels.
"""


def captions(
    table: Annotated[Path, typer.Argument(help="Table of captions: .csv, .tsv or .jsonl.")],
    reference: Annotated[
        Path | None,
        typer.Option("--reference", "-r", help="Manifest (.jsonl) with captions and labels of the table's clips."),
    ] = None,
    audio: Annotated[
        Path | None, typer.Option("--audio", help="Folder of the sounds, to measure the CLAP score of captions too.")
    ] = None,
    synonyms: Annotated[
        Path | None, typer.Option("--synonyms", help="Words that name a label, instead of the bundled ones.")
    ] = None,
    aac_metrics: Annotated[
        str | None, typer.Option("--aac-metrics", help="Scores of the package aac-metrics besides, between commas.")
    ] = None,
    aac_python: Annotated[
        Path | None, typer.Option("--aac-python", help="Python of the environment that aac-metrics is installed in.")
    ] = None,
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
    """Measure captions: BLEU, ROUGE-L, CIDEr-D, keyword accuracy, diversity; CLAP score where the sounds are there."""
    outputs = Outputs(as_json, html, csv, force)
    outputs.check()
    if aac_python is not None and aac_metrics is None:
        raise ClapgenError("--aac-python needs --aac-metrics: say which scores, e.g. --aac-metrics spice,fense.")
    from clapgen.evaluation.captions import AacMetrics, evaluate_captions
    from clapgen.evaluation.setup import Run

    run = (
        Run(strict=strict, seed=seed, command=command_line())
        if audio is None
        else load_setup(model, device, cache, no_cache, strict, seed)
    )
    wanted = None if aac_metrics is None else AacMetrics([n.strip() for n in aac_metrics.split(",")], aac_python)
    report = evaluate_captions(table, run, reference=reference, audio=audio, synonyms=synonyms, aac_metrics=wanted)
    outputs.give(report, "CIDEr-D")
