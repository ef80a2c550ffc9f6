"""`clapgen evaluate zero-shot`: classifying sounds by prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clapgen.cli.evaluate.options import ByOption, CommonOptions, LabelFieldOption, SplitOption, with_common_options
from clapgen.cli.options import check_new_file
from clapgen.data.text import parse_labels
from clapgen.errors import ClapgenError

EPILOG = """
[bold]Examples[/bold]

clapgen evaluate zero-shot ESC-50/ --confusion confusion.png\n
clapgen evaluate zero-shot manifest.jsonl --split val --label-field esc50_class --html report.html\n
clapgen evaluate zero-shot manifest.jsonl --split val --by kinds.csv\n
clapgen evaluate zero-shot manifest.jsonl --label-field esc50_class --language de\n
clapgen evaluate zero-shot manifest.jsonl --template "{label}" --template "the sound of {label}"\n

Clips with one label each are classified; if some have several, they are tagged and scored by mAP.
"""


@with_common_options
def zero_shot(
    source: Annotated[
        Path, typer.Argument(help="Manifest (.jsonl, .csv) of labelled clips, or ESC-50 (folder of meta/ and audio/).")
    ],
    common: CommonOptions,
    label_field: LabelFieldOption = "labels",
    template: Annotated[
        list[str] | None,
        typer.Option("--template", help="Prompt with {label}; repeat the option to average several prompts."),
    ] = None,
    language: Annotated[
        str, typer.Option("--language", help="Language of the prompts: en, de, fr or es; labels are translated.")
    ] = "en",
    misspelt: Annotated[
        bool, typer.Option("--misspelt", help="Misspell a word of every label in the prompts.")
    ] = False,
    labels: Annotated[
        str | None,
        typer.Option("--labels", "-l", help="All classes, if some have no clips: comma-separated, or @FILE."),
    ] = None,
    confusion: Annotated[
        Path | None, typer.Option("--confusion", help="Also draw the confusion matrix to a .png file.")
    ] = None,
    split: SplitOption = None,
    by: ByOption = None,
) -> None:
    """Measure zero-shot classification: accuracy, per-class accuracy, confusion; mAP if clips have several labels."""
    if confusion is not None:
        check_new_file(confusion, common.force)
    names = None if labels is None else parse_labels(labels)
    context = common.context()
    from clapgen.evaluation.zero_shot import evaluate_zero_shot

    report = evaluate_zero_shot(
        source,
        context,
        label_field=label_field,
        templates=template,
        split=split,
        labels=names,
        language=language,
        misspelt=misspelt,
        by=by,
    )
    common.give(report, "margin")
    if confusion is not None:
        if report.confusion is None:
            raise ClapgenError("--confusion: clips with several labels have no confusion matrix; omit the option.")
        from clapgen.plot import confusion_png

        confusion_png(report.confusion.labels, report.confusion.counts, confusion, overwrite=common.force)
