"""`clapgen evaluate retrieval`: sounds by captions and captions by sounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clapgen.cli.evaluate.options import ByOption, CommonOptions, SplitOption, with_common_options

EPILOG = """
[bold]Examples[/bold]

clapgen evaluate retrieval manifest.jsonl --split val\n
clapgen evaluate retrieval manifest.jsonl --split val --by source\n
clapgen evaluate retrieval manifest.jsonl --paraphrases paraphrases.csv --json\n

A paraphrases file (.csv, .tsv, .jsonl) has the columns caption and paraphrase; a caption may have several rows.
"""


@with_common_options
def retrieval(
    manifest: Annotated[Path, typer.Argument(help="Manifest (.jsonl, .csv) of clips with captions.")],
    common: CommonOptions,
    split: SplitOption = None,
    by: ByOption = None,
    paraphrases: Annotated[
        Path | None,
        typer.Option("--paraphrases", help="Table of paraphrased captions, to measure how much retrieval drops."),
    ] = None,
) -> None:
    """Measure retrieval: R@1/5/10, median rank and mAP@10 in both directions, with several captions per clip."""
    context = common.context()
    from clapgen.evaluation.retrieval import evaluate_retrieval

    report = evaluate_retrieval(manifest, context, split=split, paraphrases=paraphrases, by=by)
    common.give(report, "rank of its best caption")
