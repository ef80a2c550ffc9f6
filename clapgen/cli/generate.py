"""`clapgen generate`: sounds from prompts, one file and one sidecar each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from clapgen.cli import clips
from clapgen.cli.batch import Plan, run
from clapgen.cli.console import print_warning
from clapgen.cli.options import DeviceOption, ForceOption, JsonOption, check_new_file, make_writable_folder
from clapgen.cli.prompts import (
    DEFAULTS,
    ClipRequest,
    request_from_sidecar,
    requests_from_arguments,
    requests_from_file,
)
from clapgen.devices import check_device
from clapgen.errors import ClapgenError

GENERATION_PARTS = ("autoencoder", "clap", "diffusion")
DTYPES = ("bfloat16", "float32")

EPILOG = """
[bold]Examples[/bold]

clapgen generate "rain on a tin roof"\n
clapgen generate "a dog barks twice" -o dog.flac --seconds 4 --seed 7\n
clapgen generate "church bells" --candidates 8 --plot\n
clapgen generate --prompts prompts.txt -o sounds/ (run it again to continue where it stopped)\n
clapgen generate --from dog.json -o again.flac (the same sound, bit for bit)\n

A line of a .jsonl file is an object such as {"prompt": "rain", "seconds": 4, "seed": 1, "name": "rain-short"}.
"""


def generate(
    prompts: Annotated[list[str] | None, typer.Argument(help="What to hear; one sound per prompt.")] = None,
    prompt_file: Annotated[
        Path | None,
        typer.Option("--prompts", help="Read prompts from a file: .txt, one a line, or .jsonl, an object a line."),
    ] = None,
    sidecar: Annotated[
        Path | None,
        typer.Option("--from", help="Make a sound again from its sidecar .json; other options given here change it."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File (its suffix chooses the format) or folder. \\[default: this folder]"),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help=f"Length of the sound, 0.5 to 30 seconds. \\[default: {DEFAULTS.seconds:g}]")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help=f"Steps of the sampler, 1 to 200; more is slower and finer. \\[default: {DEFAULTS.steps}]"),
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(
            help=f"How closely to follow the prompt, 0 to 20; 1 is unguided. \\[default: {DEFAULTS.guidance:g}]"
        ),
    ] = None,
    negative: Annotated[str | None, typer.Option(help="What not to hear. \\[default: nothing]")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Another seed is another sound; the same seed the same. \\[default: 0]")
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            help="Make this many, 1 to 64, and keep the one that CLAP finds nearest the prompt. \\[default: 1]"
        ),
    ] = None,
    audio_format: Annotated[
        str | None, typer.Option("--format", help=f"One of {', '.join(clips.FORMATS)}. \\[default: wav]")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="Bundled model (see `clapgen models`) or model folder. \\[default: default]"
        ),
    ] = None,
    device: DeviceOption = "auto",
    dtype: Annotated[
        str | None,
        typer.Option(help=f"Number format of the diffusion network: {', '.join(DTYPES)}. \\[default: {DTYPES[0]}]"),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Sounds made at once; quicker on a GPU, takes more memory.")
    ] = 1,
    plot: Annotated[bool, typer.Option("--plot", help="Also draw a spectrogram, as .png beside the sound.")] = False,
    as_json: JsonOption = False,
    force: ForceOption = False,
) -> None:
    """Make sounds from text. Each file gets a sidecar .json that says how it was made."""
    settings = {"seconds": seconds, "steps": steps, "guidance": guidance, "negative": negative, "seed": seed}
    given = {key: value for key, value in {**settings, "candidates": candidates}.items() if value is not None}
    if sum(map(bool, (prompts, prompt_file, sidecar))) != 1:
        raise ClapgenError("give prompts as arguments, or --prompts FILE, or --from SIDECAR: one of the three.")
    check_device(device)
    if dtype is not None and dtype not in DTYPES:
        raise ClapgenError(f"--dtype must be one of {', '.join(DTYPES)}, not '{dtype}'.")
    original: dict[str, Any] | None = None
    if sidecar is not None:
        request, original = request_from_sidecar(sidecar, given)
        requests = [request]
        dtype, model = dtype or _recorded_dtype(original), model or _recorded_model(original)
        destination = _destination_again(output, audio_format, request, original, changed=bool(given))
    else:
        requests = (
            requests_from_file(prompt_file, given) if prompt_file else requests_from_arguments(prompts or [], given)
        )
        destination = clips.destination_of(output, audio_format, several=len(requests) > 1)
    model = model or "default"
    hashes = _hashes(model, original, force)
    plan = Plan(
        requests, destination, model, hashes, device, dtype or DTYPES[0], batch_size, force, plot, as_json, original
    )
    _check_destination(plan)
    run(plan)


def _destination_again(
    output: Path | None, audio_format: str | None, request: ClipRequest, original: dict[str, Any], changed: bool
) -> clips.Destination:
    """Where a clip that is made again goes: by default into this folder, by its old name unless it is another sound."""
    recorded = original.get("format")
    usual_format = recorded if recorded in clips.FORMATS else "wav"
    destination = clips.destination_of(output, audio_format, usual_format=usual_format)
    if destination.file is not None or changed:
        return destination
    old_name = Path(str(original.get("file") or "")).name.lstrip(".") or clips.stem_of(request)
    file = destination.folder / Path(old_name).with_suffix(destination.suffix)
    return clips.Destination(destination.folder, file, destination.audio_format)


def _recorded_dtype(original: dict[str, Any]) -> str | None:
    return original["dtype"] if original.get("dtype") in DTYPES else None


def _recorded_model(original: dict[str, Any]) -> str | None:
    model = original["model"]
    return str(model["name"]) if isinstance(model, dict) and "name" in model else None


def _hashes(model: str, original: dict[str, Any] | None, force: bool) -> dict[str, str]:
    """Hashes of the model's parts; ClapgenError when a clip is to be made again by other weights, unless forced."""
    from clapgen.model_store import part_hashes, resolve_model

    hashes = part_hashes(resolve_model(model), GENERATION_PARTS)
    recorded = (original or {}).get("model")
    recorded_hashes = recorded.get("hashes") if isinstance(recorded, dict) else None
    if original is None or recorded_hashes == hashes:
        return hashes
    difference = f"the sound was made with {_in_words(recorded_hashes)}, but model '{model}' has {_in_words(hashes)}"
    if not force:
        raise ClapgenError(f"{difference}; give its --model, or make a different sound anyway with --force.")
    print_warning(f"{difference}; the sound will be another.")
    return hashes


def _in_words(hashes: Any) -> str:
    if not isinstance(hashes, dict) or not hashes:
        return "unknown weights"
    return ", ".join(f"{part} {digest}" for part, digest in sorted(hashes.items()))


def _check_destination(plan: Plan) -> None:
    file = plan.destination.file
    if file is None:
        make_writable_folder(plan.destination.folder)
        return
    beside = [".json", ".png"] if plan.plot else [".json"]
    for path in (file, *(file.with_suffix(suffix) for suffix in beside)):
        check_new_file(path, plan.force)
