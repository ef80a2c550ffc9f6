"""`clapgen classify`: which of some labels a sound is, without training (zero-shot)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clapgen.cli.console import print_json, print_result, print_table, spinner
from clapgen.cli.options import DeviceOption, JsonOption, ModelOption, StrictOption
from clapgen.cli.sound_files import sound_files
from clapgen.data.text import clean_prompt, read_lines
from clapgen.devices import check_device, choose_device
from clapgen.errors import ClapgenError

EPILOG = """
[bold]Examples[/bold]

clapgen classify recording.wav --labels "rain,wind,traffic noise"\n
clapgen classify recordings/ --labels @labels.txt --top 1 --json\n
"""


def classify(
    files: Annotated[list[Path], typer.Argument(help="Sound files, or folders of them.")],
    labels: Annotated[
        str, typer.Option("--labels", "-l", help="Labels between commas, or @FILE with one label a line.")
    ],
    template: Annotated[
        str, typer.Option(help="Sentence that a label is put into; trained models know sentences better than words.")
    ] = "This is a sound of {label}.",
    top: Annotated[int, typer.Option(min=1, help="How many labels to show for each sound.")] = 5,
    strict: StrictOption = False,
    model: ModelOption = "default",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Say which of the given labels fits a sound best, with probabilities over these labels."""
    names = _labels(labels)
    if "{label}" not in template:
        raise ClapgenError("--template must contain {label}, e.g. 'This is a sound of {label}.'")
    check_device(device)
    sounds = sound_files(files, strict)
    from clapgen.model_store import resolve_model

    resolve_model(model)
    with spinner("Loading the model"):
        from clapgen.clap import Clap
        from clapgen.metrics.embeddings.zero_shot import zero_shot_probabilities

        clap = Clap.from_pretrained(model, device=choose_device(device))
    text = clap.embed_text([template.replace("{label}", name) for name in names])
    for path, waveform in sounds.read(clap.sample_rate):
        audio = clap.embed_audio([waveform], clap.sample_rate)
        cosines = clap.similarity(audio, text)[0]
        probabilities = zero_shot_probabilities(audio, text, clap.logit_scale.item())[0]
        order = probabilities.argsort(descending=True)[:top].tolist()
        ranked = [(names[index], float(probabilities[index]), float(cosines[index])) for index in order]
        if as_json:
            rows = [{"label": name, "probability": p, "cosine": cosine} for name, p, cosine in ranked]
            print_json({"path": str(path), "label": ranked[0][0], "labels": rows, "model_hash": clap.hash})
        else:
            rows_of_text = [(name, f"{100 * p:.1f}%", f"{cosine:.3f}") for name, p, cosine in ranked]
            print_result(str(path))
            print_table(("label", "probability", "cosine"), rows_of_text)
    sounds.finish()


def _labels(given: str) -> list[str]:
    pieces = read_lines(Path(given[1:])) if given.startswith("@") else given.split(",")
    names = [clean_prompt(piece, "--labels: a label") for piece in pieces if piece.strip()]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise ClapgenError(f"--labels names '{min(repeated)}' more than once.")
    if len(names) < 2:
        raise ClapgenError("--labels must name at least two labels, e.g. --labels rain,wind.")
    return names
