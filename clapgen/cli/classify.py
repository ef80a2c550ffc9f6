"""`clapgen classify`: zero-shot classification with labels of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clapgen.cli.console import print_json, print_result, print_table
from clapgen.cli.options import ClapOption, DeviceOption, JsonOption, StrictOption, load_clap_option
from clapgen.cli.sound_files import sound_files
from clapgen.data.text import parse_labels
from clapgen.devices import check_device
from clapgen.errors import ClapgenError

EPILOG = """
[bold]Examples[/bold]

clapgen classify recording.wav --labels "rain,wind,traffic noise"\n
clapgen classify recordings/ --labels @labels.txt --top 1 --json\n
"""


def classify(
    files: Annotated[list[Path], typer.Argument(help="Audio files or folders of them.")],
    labels: Annotated[
        str, typer.Option("--labels", "-l", help="Comma-separated labels, or @FILE with one label per line.")
    ],
    template: Annotated[
        str, typer.Option(help="Prompt template; CLAPs are trained on sentences rather than single words.")
    ] = "This is a sound of {label}.",
    top: Annotated[int, typer.Option(min=1, help="Number of labels to show per file.")] = 5,
    strict: StrictOption = False,
    model: ClapOption = "default",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Classify audio into the given labels, with probabilities over these labels."""
    names = parse_labels(labels)
    if "{label}" not in template:
        raise ClapgenError("--template must contain {label}, e.g. 'This is a sound of {label}.'")
    check_device(device)
    sounds = sound_files(files, strict)
    clap = load_clap_option(model, device)
    from clapgen.metrics.embeddings.zero_shot import zero_shot_probabilities

    text = clap.embed_text([template.replace("{label}", name) for name in names])
    for path, waveform in sounds.read(clap.sample_rate):
        audio = clap.embed_audio([waveform], clap.sample_rate)
        cosines = (audio @ text.T)[0]
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
