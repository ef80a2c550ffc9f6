"""`clapgen evaluate retrieval`: finding sounds by captions and captions by sounds."""

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
    SplitOption,
    StrictOption,
    load_setup,
)

EPILOG = """
[bold]Examples[/bold]

clapgen evaluate retrieval manifest.jsonl --split val\n
clapgen evaluate retrieval manifest.jsonl --paraphrases said-otherwise.csv --json\n

A paraphrases file (.csv, .tsv, .jsonl) has the columns caption and paraphrase; a caption may come several times.
"""


def retrieval(
    manifest: Annotated[Path, typer.Argument(help="Manifest (.jsonl) of clips with captions.")],
    split: SplitOption = None,
    paraphrases: Annotated[
        Path | None, typer.Option("--paraphrases", help="Table of captions in other words, to measure what they cost.")
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
    """Measure retrieval: R@1/5/10, median rank and mAP@10 both ways, with several captions a clip."""
    outputs = Outputs(as_json, html, csv, force)
    outputs.check()
    setup = load_setup(model, device, cache, no_cache, strict, seed)
    from clapgen.evaluation.retrieval import evaluate_retrieval

    outputs.give(evaluate_retrieval(manifest, setup, split=split, paraphrases=paraphrases), "rank of its best caption")
