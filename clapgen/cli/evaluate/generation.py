"""`clapgen evaluate generation`: generated sounds against their prompts, references and training clips."""

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
    StrictOption,
    TemplateOption,
    labels_of,
    load,
    load_setup,
)

EPILOG = """
[bold]Examples[/bold]

clapgen evaluate generation made/\n
clapgen evaluate generation made/ --reference real/ --prompts prompts.csv --html report.html\n
clapgen evaluate generation made/ --reference manifest.jsonl --split val --training manifest.jsonl --json\n
clapgen evaluate generation made/ --reference real/ --embedder encodec:facebook/encodec_24khz\n

Sounds and references pair by file name, never by their order. A prompts file (.csv, .tsv, .jsonl) has the columns
file_name and prompt, and may have labels and reference; a .txt has a prompt a line, which fits the names that `clapgen
generate` gives, or a name, a tab and a prompt. Without it the .json that `clapgen generate` puts beside a sound
is read.
"""


def generation(
    generated: Annotated[Path, typer.Argument(help="Folder or manifest (.jsonl) of generated sounds.")],
    reference: Annotated[
        Path | None, typer.Option("--reference", "-r", help="Folder or manifest (.jsonl) of real sounds.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option("--prompts", "-p", help="File of prompts: .csv, .tsv, .jsonl or .txt.")
    ] = None,
    training: Annotated[
        Path | None,
        typer.Option(
            "--training",
            help="Folder or manifest of training clips (its split train, if it has one), to look for copies of them.",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            "-l",
            help="Labels of the posterior: between commas, or @FILE (default: the clips', or ESC-50's).",
        ),
    ] = None,
    template: TemplateOption = None,
    label_field: LabelFieldOption = "labels",
    split: Annotated[
        str | None, typer.Option("--split", help="Only the clips of this split of the reference manifest.")
    ] = None,
    embedder: Annotated[
        str | None,
        typer.Option(
            "--embedder", help="Embeds for distances instead of the CLAP: laion:, encodec:, ast: and a folder."
        ),
    ] = None,
    nearest_k: Annotated[
        int, typer.Option("--nearest-k", min=1, help="Neighbours of precision, recall, density and coverage.")
    ] = 5,
    per_clip_fad: Annotated[
        bool, typer.Option("--per-clip-fad", help="Measure the FAD of every clip's frames too.")
    ] = False,
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
    """Measure generated sounds: CLAP score, FAD, KAD, KL, precision, diversity, novelty, and what is amiss."""
    outputs = Outputs(as_json, html, csv, force)
    outputs.check()
    names = labels_of(labels)
    setup = load_setup(model, device, cache, no_cache, strict, seed)
    other = None if embedder is None else load(embedder, device)
    from clapgen.evaluation.generation.evaluate import evaluate_generation
    from clapgen.metrics.embeddings.zero_shot import DEFAULT_TEMPLATE

    report = evaluate_generation(
        generated,
        setup,
        reference=reference,
        prompts=prompts,
        training=training,
        labels=names,
        template=template or DEFAULT_TEMPLATE,
        label_field=label_field,
        split=split,
        embedder=other,
        nearest_k=nearest_k,
        per_clip_fad=per_clip_fad,
    )
    outputs.give(report, "CLAP score")
