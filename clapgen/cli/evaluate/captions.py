"""`clapgen evaluate captions`: captions against references, labels and sounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clapgen.cli.evaluate.options import CommonOptions, with_common_options
from clapgen.errors import ClapgenError

EPILOG = """
[bold]Examples[/bold]

clapgen evaluate captions captions.csv\n
clapgen caption recordings/ --csv captions.csv && clapgen evaluate captions captions.csv -r manifest.jsonl\n
clapgen evaluate captions captions.jsonl --audio recordings/ --html report.html\n
clapgen evaluate captions captions.csv --aac-metrics spice,meteor,fense --aac-python aac/bin/python\n

A .csv has the columns of aac-metrics (file_name, caption_predicted, caption_1, caption_2, …) and optionally labels,
separated by semicolons. A .jsonl has objects with file_name, caption_predicted, references and labels.
"""


@with_common_options
def captions(
    table: Annotated[Path, typer.Argument(help="Table of captions: .csv, .tsv or .jsonl.")],
    common: CommonOptions,
    reference: Annotated[
        Path | None,
        typer.Option("--reference", "-r", help="Manifest (.jsonl, .csv) with captions and labels of the clips."),
    ] = None,
    audio: Annotated[
        Path | None, typer.Option("--audio", help="Folder of the sounds, to also measure the CLAP score of captions.")
    ] = None,
    synonyms: Annotated[
        Path | None, typer.Option("--synonyms", help="Words that name a label, instead of the bundled synonyms.")
    ] = None,
    aac_metrics: Annotated[
        str | None, typer.Option("--aac-metrics", help="Also compute these scores of aac-metrics (comma-separated).")
    ] = None,
    aac_python: Annotated[
        Path | None, typer.Option("--aac-python", help="Python of the environment where aac-metrics is installed.")
    ] = None,
) -> None:
    """Measure captions: BLEU, ROUGE-L, CIDEr-D, keyword accuracy, diversity, and CLAP score with --audio."""
    if aac_python is not None and aac_metrics is None:
        raise ClapgenError("--aac-python needs --aac-metrics: name the scores, e.g. --aac-metrics spice,fense.")
    from clapgen.evaluation.captions import AacMetrics, evaluate_captions

    context = common.context(needs_model=audio is not None)
    wanted = None if aac_metrics is None else AacMetrics([n.strip() for n in aac_metrics.split(",")], aac_python)
    report = evaluate_captions(table, context, reference=reference, audio=audio, synonyms=synonyms, aac_metrics=wanted)
    common.give(report, "CIDEr-D")
