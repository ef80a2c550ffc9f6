"""`clapgen evaluate retrieval`: sounds by captions and captions by sounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clapgen.cli.evaluate.options import ByOption, CommonOptions, SplitOption, with_common_options

EPILOG = """
[bold]Examples[/bold]

clapgen evaluate retrieval manifest.jsonl --split val\n
clapgen evaluate retrieval manifest.jsonl --split val --by kinds.csv\n
clapgen evaluate retrieval manifest.jsonl --split val --paraphrases held-out\n
clapgen evaluate retrieval manifest.jsonl --paraphrases paraphrases.csv --json\n

A paraphrases file (.csv, .tsv, .jsonl) has the columns caption and paraphrase; a caption may have several rows.
"""


@with_common_options
def retrieval(
    manifest: Annotated[Path, typer.Argument(help="Manifest (.jsonl, .csv) of clips with captions.")],
    common: CommonOptions,
    split: SplitOption = None,
    by: ByOption = None,
    segments: Annotated[
        bool, typer.Option("--segments", help="For long clips: let each caption attend to the windows that match it.")
    ] = False,
    paraphrases: Annotated[
        str | None,
        typer.Option(
            "--paraphrases",
            metavar="held-out|FILE",
            help="Also measure with paraphrased captions: by rules that no training uses, or from a table.",
        ),
    ] = None,
) -> None:
    """Measure retrieval: R@1/5/10, median rank and mAP@10 in both directions, with several captions per clip."""
    context = common.context()
    from clapgen.evaluation.retrieval import evaluate_retrieval

    report = evaluate_retrieval(manifest, context, split=split, paraphrases=paraphrases, by=by, segments=segments)
    common.give(report, "rank of its best caption")
