"""`clapgen edit`: a sound restyled, filled in, extended, looped, or widened, by the diffusion model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clapgen.cli.console import garbage_collector_off, spinner
from clapgen.cli.generate_output import Output, progress_bar, warn_of_prompts
from clapgen.cli.generate_requests import check_destination
from clapgen.cli.options import DeviceOption, ForceOption, JsonOption
from clapgen.devices import check_device, choose_device
from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    from generation.edits import Edit

EPILOG = """
[bold]Examples[/bold]

clapgen edit door.wav "a heavy metal gate" --strength 0.6\n
clapgen edit street.wav "birds sing" --region 2:3.5 --region 6:6.5\n
clapgen edit rain.wav --after 5\n
clapgen edit engine.wav --loop -o engine-loop.wav\n
clapgen edit old.mp3 --above 4000\n

Without a prompt, what is made sounds like the file. A finished sound is made again by `clapgen generate --from`.
"""


def edit(
    sound: Annotated[Path, typer.Argument(metavar="FILE", help="Sound to edit.")],
    prompt: Annotated[str | None, typer.Argument(help="What is to be heard. \\[default: like the file]")] = None,
    strength: Annotated[
        float | None, typer.Option(help="Restyle the whole sound: 0 keeps it, 1 keeps nothing. \\[default: 0.5]")
    ] = None,
    region: Annotated[
        list[str] | None, typer.Option(help="Fill START:END (seconds) anew, and keep the rest; may be repeated.")
    ] = None,
    before: Annotated[float | None, typer.Option(help="Seconds to add before the sound.")] = None,
    after: Annotated[float | None, typer.Option(help="Seconds to add after the sound.")] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Close the sound to a loop without a seam.")] = False,
    joint: Annotated[
        float | None, typer.Option(help="Seconds around the joint of a loop that are made anew. \\[default: 1]")
    ] = None,
    above: Annotated[
        float | None, typer.Option(help="Make anew what lies above this frequency in Hz, and keep what lies below.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File or folder. \\[default: this folder]")
    ] = None,
    num_steps: Annotated[
        int | None, typer.Option("--num-steps", "--steps", help="Sampler steps, 1 to 200. \\[default: 25]")
    ] = None,
    guidance_scale: Annotated[
        float | None,
        typer.Option(
            "--guidance-scale", "--guidance", help="How closely to follow the prompt, 0 to 20. \\[default: 3]"
        ),
    ] = None,
    negative_prompt: Annotated[
        str | None, typer.Option("--negative-prompt", "--negative", help="What to avoid.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed; -1 draws one. \\[default: 0]")] = None,
    count: Annotated[
        int, typer.Option(min=1, max=10_000, help="How many versions, with seeds that follow each other.")
    ] = 1,
    candidates: Annotated[
        int | None,
        typer.Option(help="Make this many, 1 to 64, and keep the one with the best CLAP score. \\[default: 1]"),
    ] = None,
    peak: Annotated[
        float | None, typer.Option(help="Peak in dBFS, -60 to 0. \\[default: the level as it is]", show_default=False)
    ] = None,
    loudness: Annotated[
        float | None, typer.Option(help="Loudness in LUFS (EBU R 128), -70 to 0, instead of a peak.")
    ] = None,
    model: Annotated[str, typer.Option("--model", "-m", help="Bundled model or model folder.")] = "default",
    device: DeviceOption = "auto",
    plot: Annotated[bool, typer.Option("--plot", help="Also save a spectrogram as .png next to the sound.")] = False,
    as_json: JsonOption = False,
    force: ForceOption = False,
) -> None:
    """Edit a sound with text: restyle it, fill regions, extend it, make a loop, or widen its band.

    What an edit keeps are the file's own samples, mixed to mono, at the model's sample rate.
    """
    check_device(device)
    from clapgen.model_store import open_model, part_hashes
    from generation.destinations import choose_destination
    from generation.rendering import render, split_finished
    from generation.requests import checked_request, with_seeds
    from generation.sidecars import PARTS, model_identity

    options: dict[str, Any] = {
        "num_steps": num_steps, "guidance_scale": guidance_scale, "negative_prompt": negative_prompt, "seed": seed,
        "candidates": candidates, "peak": peak, "loudness": loudness,
        "level": "as-is" if peak is None and loudness is None else None,
    }  # fmt: skip
    what = _what(sound, prompt, strength, region or [], before, after, loop, joint, above)
    settings = {key: value for key, value in options.items() if value is not None}
    request = checked_request(
        {**settings, "prompt": prompt or sound.stem, "edit": what, "name": f"{sound.stem}-edited"}
    )
    requests = with_seeds([request], count)
    destination = choose_destination(output, None, several=count > 1)
    folder = open_model(model)
    check_destination(destination, plot, as_json, force)
    printer = Output(plot, as_json, replace_plots=force or destination.file is None, original=None)
    identity = model_identity(folder.name, part_hashes(folder, PARTS), None)
    finished, remaining = ([], requests) if force else split_finished(requests, destination, identity)
    for clip in finished:
        printer.show(clip)
    if not remaining:
        return
    with garbage_collector_off(), spinner("Loading the model"):
        from generation.pipeline import TextToAudio

        generator = TextToAudio.from_pretrained(folder, choose_device(device))
    if prompt:
        warn_of_prompts(generator, remaining)
    for clip in render(remaining, destination, generator, 1, force, progress_bar(len(remaining))):
        printer.show(clip)


def _what(
    sound: Path,
    prompt: str | None,
    strength: float | None,
    regions: list[str],
    before: float | None,
    after: float | None,
    loop: bool,
    joint: float | None,
    above: float | None,
) -> Edit:
    """The edit that the options ask for; ClapgenError if they ask for several, or the file cannot be found."""
    from clapgen.audio.reading import rate_and_duration_of
    from generation.edits import checked_edit, region_of
    from generation.sources import sha256_of

    asked = {
        "fill": {"regions": [region_of(each) for each in regions]} if regions else None,
        "extend": {"before": before or 0.0, "after": after or 0.0} if (before, after) != (None, None) else None,
        "loop": {} if loop else None,
        "upsample": {"above": above} if above is not None else None,
    }
    kinds = [kind for kind, values in asked.items() if values is not None]
    if len(kinds) > 1:
        raise ClapgenError(f"choose one edit at a time, not {' and '.join(kinds)}; edit the result again.")
    if joint is not None and kinds != ["loop"]:
        raise ClapgenError("--joint is of --loop.")
    kind = kinds[0] if kinds else "restyle"
    if strength is not None and kind not in ("restyle", "upsample"):
        raise ClapgenError(f"--strength is of restyling; {kind} makes anew what it makes.")
    if not kinds and prompt is None:
        raise ClapgenError("say what to do: a prompt to restyle it, --region, --before, --after, --loop or --above.")
    if not sound.is_file():
        raise ClapgenError(f"{sound} is not a file; give a sound to edit.")
    more: dict[str, Any] = {"strength": strength} if strength is not None else {}
    more |= {"joint": joint} if joint is not None else {}
    more |= {"path": str(sound.resolve()), "sha256": sha256_of(sound), "kind": kind, "like": prompt is None}
    what = checked_edit({**(asked.get(kind) or {}), **more}, "the edit")
    what.span(rate_and_duration_of(sound)[1])  # before a model is loaded
    return what
