"""`clapgen generate`: sounds from prompts, one file and one sidecar each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from clapgen.cli.console import garbage_collector_off, print_warning, spinner
from clapgen.cli.generate_output import Output, progress_bar, warn_of_cut_prompts
from clapgen.cli.options import DeviceOption, ForceOption, JsonOption, check_new_file, make_writable_folder
from clapgen.devices import check_device, choose_device
from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    from generation.requests import GenerationRequest
    from generation.sidecars import Destination

EPILOG = """
[bold]Examples[/bold]

clapgen generate "rain on a tin roof"\n
clapgen generate "a dog barks twice" -o dog.flac --seconds 4 --seed 7\n
clapgen generate "church bells" --candidates 8 --plot\n
clapgen generate --prompts prompts.txt -o sounds/ (run it again to continue where it stopped)\n
clapgen generate --from dog.json -o again.flac (the same sound, bit for bit)\n

A line of a .jsonl file is an object such as {"prompt": "rain", "seconds": 4, "seed": 1, "name": "rain-short"}.
"""


class GenerateCommand(TyperCommand):
    """Fills ranges, defaults and names into the help when it is shown: `clapgen --help` must not import `generation`,
    which a file of the user may hide."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Show the help of `clapgen generate`."""
        from generation.diffusion.samplers import SAMPLERS
        from generation.requests import DEFAULTS, DTYPES, RANGES
        from generation.sidecars import FORMATS

        names = {"samplers": ", ".join(SAMPLERS), "formats": ", ".join(FORMATS)}
        names |= {"dtypes": ", ".join(DTYPES), "dtype": DTYPES[0]}
        for parameter in self.params:
            if help_text := getattr(parameter, "help", None):
                parameter.help = help_text.format(default=DEFAULTS, **RANGES, **names)  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


def generate(
    prompts: Annotated[list[str] | None, typer.Argument(help="Text prompts; one sound per prompt.")] = None,
    prompt_file: Annotated[
        Path | None,
        typer.Option("--prompts", help="File of prompts: .txt, one per line, or .jsonl, one object per line."),
    ] = None,
    sidecar: Annotated[
        Path | None,
        typer.Option("--from", help="Generate a sound again from its sidecar .json; other options override it."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File (its suffix sets the format) or folder. \\[default: this folder]"),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Length in seconds, {seconds}. \\[default: {default.seconds:g}]")
    ] = None,
    num_steps: Annotated[
        int | None,
        typer.Option(
            "--num-steps",
            "--steps",
            help="Sampler steps, {num_steps}; more is slower and finer. \\[default: {default.num_steps}]",
        ),
    ] = None,
    guidance_scale: Annotated[
        float | None,
        typer.Option(
            "--guidance-scale",
            "--guidance",
            help="How closely to follow the prompt, {guidance_scale}; 1 is no guidance. "
            "\\[default: {default.guidance_scale:g}]",
        ),
    ] = None,
    negative_prompt: Annotated[
        str | None, typer.Option("--negative-prompt", "--negative", help="Negative prompt. \\[default: none]")
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(help="Sampler, one of {samplers}. \\[default: {default.sampler}]")
    ] = None,
    time_shift: Annotated[
        float | None,
        typer.Option(
            help="Above 1 spends more steps on the coarse structure, {time_shift}. \\[default: {default.time_shift:g}]"
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed. \\[default: {default.seed}]")] = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            help="Generate this many, {candidates}, and keep the one with the best CLAP score. "
            "\\[default: {default.candidates}]"
        ),
    ] = None,
    audio_format: Annotated[str | None, typer.Option("--format", help="One of {formats}. \\[default: wav]")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="Bundled model (see `clapgen models`) or model folder. \\[default: default]"
        ),
    ] = None,
    device: DeviceOption = "auto",
    dtype: Annotated[
        str | None, typer.Option(help="Number format of the diffusion network: {dtypes}. \\[default: {dtype}]")
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Sounds generated at once; faster on a GPU, uses more memory.")
    ] = 1,
    plot: Annotated[bool, typer.Option("--plot", help="Also save a spectrogram as .png next to the sound.")] = False,
    as_json: JsonOption = False,
    force: ForceOption = False,
) -> None:
    """Generate sound from text. Each file gets a sidecar .json that records how it was generated."""
    options = {
        "seconds": seconds, "num_steps": num_steps, "guidance_scale": guidance_scale, "sampler": sampler,
        "negative_prompt": negative_prompt, "time_shift": time_shift, "seed": seed, "candidates": candidates,
    }  # fmt: skip
    given = {key: value for key, value in options.items() if value is not None}
    if sum(map(bool, (prompts, prompt_file, sidecar))) != 1:
        raise ClapgenError("give prompts as arguments, or --prompts FILE, or --from SIDECAR: exactly one of the three.")
    check_device(device)
    from clapgen.model_store import open_model, part_hashes
    from generation.rendering import render, split_finished
    from generation.requests import DTYPES
    from generation.sidecars import PARTS, model_identity

    if dtype is not None and dtype not in DTYPES:
        raise ClapgenError(f"--dtype must be one of {', '.join(DTYPES)}, not '{dtype}'.")
    requests, destination, original = _what_and_where(prompts, prompt_file, sidecar, given, output, audio_format)
    folder = open_model(model or _recorded_model(original) or "default")
    identity = model_identity(folder.name, part_hashes(folder, PARTS), dtype or _recorded_dtype(original) or DTYPES[0])
    _check_weights(identity["model"], original, force)
    _check_destination(destination, plot, force)
    printer = Output(plot, as_json, replace_plots=force or destination.file is None, original=original)
    finished, remaining = (
        ([], list(dict.fromkeys(requests))) if force else split_finished(requests, destination, identity)
    )
    for clip in finished:
        printer.show(clip)
    if not remaining:
        return
    with garbage_collector_off(), spinner("Loading the model"):
        from generation.pipeline import TextToAudio

        generator = TextToAudio.from_pretrained(folder, choose_device(device), identity["dtype"])
    warn_of_cut_prompts(generator, remaining)
    try:
        for clip in render(remaining, destination, generator, batch_size, force, progress_bar(len(remaining))):
            printer.show(clip)
    except KeyboardInterrupt:
        rest = "run the same command again to continue" if len(remaining) > 1 else "nothing was written"
        raise KeyboardInterrupt(
            f"interrupted; {printer.count - len(finished)} of {len(remaining)} sounds are finished, {rest}."
        ) from None


def _what_and_where(
    prompts: list[str] | None,
    prompt_file: Path | None,
    sidecar: Path | None,
    given: dict[str, Any],
    output: Path | None,
    audio_format: str | None,
) -> tuple[list[GenerationRequest], Destination, dict[str, Any] | None]:
    """The requests, where their sounds go, and the sidecar of the sound that is generated again, if any."""
    from generation.requests import request_from_sidecar, requests_from_arguments, requests_from_file
    from generation.sidecars import choose_destination

    if sidecar is not None:
        request, original = request_from_sidecar(sidecar, given)
        return [request], _destination_again(output, audio_format, request, original, changed=bool(given)), original
    if prompt_file is not None:
        requests = requests_from_file(prompt_file, given)
    else:
        requests = requests_from_arguments(prompts or [], given)
    return requests, choose_destination(output, audio_format, several=len(requests) > 1), None


def _destination_again(
    output: Path | None, audio_format: str | None, request: GenerationRequest, original: dict[str, Any], changed: bool
) -> Destination:
    """Where a sound that is generated again goes: by default into this folder, under its old name unless its settings
    changed."""
    from generation.sidecars import FORMATS, Destination, choose_destination, stem_of

    recorded = original.get("format")
    default_format = recorded if recorded in FORMATS else "wav"
    destination = choose_destination(output, audio_format, default_format=default_format)
    if destination.file is not None or changed:
        return destination
    old_name = Path(str(original.get("file") or "")).name.lstrip(".") or stem_of(request)
    file = destination.folder / Path(old_name).with_suffix(destination.suffix)
    return Destination(destination.folder, file, destination.audio_format)


def _recorded_dtype(original: dict[str, Any] | None) -> str | None:
    from generation.requests import DTYPES

    dtype = (original or {}).get("dtype")
    return dtype if dtype in DTYPES else None


def _recorded_model(original: dict[str, Any] | None) -> str | None:
    model = (original or {}).get("model")
    return str(model["name"]) if isinstance(model, dict) and "name" in model else None


def _check_weights(model: dict[str, Any], original: dict[str, Any] | None, force: bool) -> None:
    """ClapgenError if a sound would be generated again with other weights; only a warning if forced."""
    recorded = (original or {}).get("model")
    recorded_hashes = recorded.get("hashes") if isinstance(recorded, dict) else None
    if original is None or recorded_hashes == model["hashes"]:
        return
    difference = (
        f"the sound was generated with {_in_words(recorded_hashes)}, but model '{model['name']}' has "
        f"{_in_words(model['hashes'])}"
    )
    if not force:
        raise ClapgenError(f"{difference}; give its --model, or generate a different sound with --force.")
    print_warning(f"{difference}; the result will differ.")


def _in_words(hashes: Any) -> str:
    if not isinstance(hashes, dict) or not hashes:
        return "unknown weights"
    return ", ".join(f"{part} {digest}" for part, digest in sorted(hashes.items()))


def _check_destination(destination: Destination, plot: bool, force: bool) -> None:
    file = destination.file
    if file is None:
        make_writable_folder(destination.folder)
        return
    for path in (file, file.with_suffix(".json"), *([file.with_suffix(".png")] if plot else [])):
        check_new_file(path, force)
