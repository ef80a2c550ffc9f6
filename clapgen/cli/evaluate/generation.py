"""`clapgen evaluate generation`: generated sounds against their prompts, references and training clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clapgen.cli.evaluate.options import CommonOptions, LabelFieldOption, load, with_common_options
from clapgen.data.text import parse_labels

EPILOG = """
[bold]Examples[/bold]

clapgen evaluate generation generated/\n
clapgen evaluate generation generated/ --reference real/ --prompts prompts.csv --html report.html\n
clapgen evaluate generation generated/ --reference manifest.jsonl --split val --training manifest.jsonl --json\n
clapgen evaluate generation generated/ --reference real/ --embedder encodec:facebook/encodec_24khz\n
clapgen evaluate generation generated/ --reference real/ --tagger runs/tagger/model\n

Sounds and references are matched by file name, never by order. A prompts file (.csv, .tsv, .jsonl) has the columns
file_name and prompt, and optionally labels and reference. A .txt has one prompt per line, matched with the names that
`clapgen generate` gives, or a name, a tab and a prompt. Without a prompts file, the .json files that `clapgen generate`
writes next to its sounds are used.
"""


@with_common_options
def generation(
    generated: Annotated[Path, typer.Argument(help="Folder or manifest (.jsonl, .csv) of generated sounds.")],
    common: CommonOptions,
    reference: Annotated[
        Path | None, typer.Option("--reference", "-r", help="Folder or manifest (.jsonl, .csv) of real sounds.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option("--prompts", "-p", help="File of prompts: .csv, .tsv, .jsonl or .txt.")
    ] = None,
    training: Annotated[
        Path | None,
        typer.Option(
            "--training",
            help="Folder or manifest of training clips (only its split train, if it has one), to look for copies.",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            "-l",
            help="Classes of the zero-shot posterior: comma-separated, or @FILE (default: the clips', or ESC-50's).",
        ),
    ] = None,
    template: Annotated[
        str | None, typer.Option("--template", help="Prompt with {label}, for the zero-shot posterior.")
    ] = None,
    label_field: LabelFieldOption = "labels",
    split: Annotated[
        str | None, typer.Option("--split", help="Only the clips of this split of the reference manifest.")
    ] = None,
    embedder: Annotated[
        str | None,
        typer.Option(
            "--embedder",
            help="Embedding model for FAD/KAD instead of the CLAP: folder or hub name of a CLAP, EnCodec or AST.",
        ),
    ] = None,
    tagger: Annotated[
        str | None,
        typer.Option("--tagger", help="Folder of a tagger (`clapgen train tagger`): a judge other than the CLAP."),
    ] = None,
    nearest_k: Annotated[
        int, typer.Option("--nearest-k", min=1, help="Neighbours for precision, recall, density and coverage.")
    ] = 5,
    per_clip_fad: Annotated[
        bool, typer.Option("--per-clip-fad", help="Also measure the FAD of each clip's frames.")
    ] = False,
) -> None:
    """Measure generated sounds: CLAP score, FAD, KAD, KL, precision, diversity, novelty, and common failures."""
    names = None if labels is None else parse_labels(labels)
    context = common.context()
    other = None if embedder is None else load(embedder, common.device)
    from clapgen.data.text import DEFAULT_TEMPLATE
    from clapgen.evaluation.generation.evaluate import evaluate_generation
    from clapgen.tagger import Tagger

    judge = None if tagger is None else Tagger.from_pretrained(tagger, common.device)
    report = evaluate_generation(
        generated,
        context,
        reference=reference,
        prompts=prompts,
        training=training,
        labels=names,
        template=template or DEFAULT_TEMPLATE,
        label_field=label_field,
        split=split,
        embedder=other,
        tagger=judge,
        nearest_k=nearest_k,
        per_clip_fad=per_clip_fad,
    )
    common.give(report, "CLAP score")
