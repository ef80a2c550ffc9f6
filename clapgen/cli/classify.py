"""`clapgen classify`: zero-shot classification with labels of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clapgen.cli.console import print_json, print_result, print_table, print_warning
from clapgen.cli.options import (
    MAX_HOURS,
    ClapOption,
    DeviceOption,
    JsonOption,
    MaxHoursOption,
    StrictOption,
    WindowOption,
    load_clap_option,
    print_text_warnings,
)
from clapgen.cli.sound_files import sound_files
from clapgen.data.text import DEFAULT_TEMPLATE, parse_labels
from clapgen.devices import check_device
from clapgen.errors import ClapgenError

EPILOG = """
[bold]Examples[/bold]

clapgen classify recording.wav --labels "rain,wind,traffic noise"\n
clapgen classify recordings/ --labels @labels.txt --top 1 --json\n
clapgen classify recording.wav --labels dog,cat --none\n
"""


def classify(
    files: Annotated[list[Path], typer.Argument(help="Audio files or folders of them; - for standard input.")],
    labels: Annotated[
        str, typer.Option("--labels", "-l", help="Comma-separated labels, or @FILE with one label per line.")
    ],
    template: Annotated[
        str, typer.Option(help="Prompt template; CLAPs are trained on sentences rather than single words.")
    ] = DEFAULT_TEMPLATE,
    none: Annotated[
        bool, typer.Option("--none", help="Allow the answer that none of the labels applies (calibrated).")
    ] = False,
    independent: Annotated[
        bool,
        typer.Option(
            "--independent", help="Judge each label by itself, as if it applied to half of all sounds (calibrated)."
        ),
    ] = False,
    top: Annotated[int, typer.Option(min=1, help="Number of labels to show per file.")] = 5,
    strict: StrictOption = False,
    max_hours: MaxHoursOption = MAX_HOURS,
    model: ClapOption = "default",
    window: WindowOption = "mean",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Classify audio into the given labels, with probabilities over these labels.

    Without --none, the labels share all of the probability, even if none applies.
    """
    names = parse_labels(labels)
    if "{label}" not in template:
        raise ClapgenError(f"--template must contain {{label}}, e.g. '{DEFAULT_TEMPLATE}'")
    if none and independent:
        raise ClapgenError("--none chooses one answer, --independent judges each label by itself; give one of them.")
    check_device(device)
    sounds = sound_files(files, strict, max_hours)
    clap = load_clap_option(model, device, window)
    from clapgen.clap.calibrations import NONE, answer_probabilities
    from clapgen.metrics.embeddings.zero_shot import class_prompts

    probabilities_of, note = answer_probabilities(clap, none, independent, template)
    if note:
        print_warning(note)
    text = clap.embed_text(class_prompts(names, template))
    print_text_warnings(names, clap, "labels")
    for path, embedding in sounds.embed(clap):
        cosines = text @ embedding
        probabilities = probabilities_of(cosines)
        answers = [*zip(names, probabilities, cosines.tolist(), strict=False)]
        answers += [(NONE, probabilities[-1], None)] if none else []
        ranked = sorted(answers, key=lambda answer: -answer[1])[:top]
        if as_json:
            rows = [{"label": name, "probability": p, "cosine": cosine} for name, p, cosine in ranked]
            print_json({"path": str(path), "label": ranked[0][0], "labels": rows, "model_hash": clap.hash})
        else:
            rows_of_text = [
                (name, f"{100 * p:.1f}%", "-" if cosine is None else f"{cosine:.3f}") for name, p, cosine in ranked
            ]
            print_result(str(path))
            print_table(("label", "probability", "cosine"), rows_of_text)
    sounds.finish()
