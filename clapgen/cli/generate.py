"""`clapgen generate`: sounds from prompts, one file and one sidecar each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from clapgen.cli.console import garbage_collector_off, spinner
from clapgen.cli.generate_ingredients import with_ingredients
from clapgen.cli.generate_neighbours import (
    BlendOption,
    LibraryOption,
    NeighboursOption,
    ScaleOption,
    StrengthOption,
    with_neighbours,
)
from clapgen.cli.generate_novelty import MaxSimilarityOption, TriesOption, open_novelty
from clapgen.cli.generate_output import Output, progress_bar, warn_of_prompts, warn_of_repeats
from clapgen.cli.generate_prompts import EditOptions, edit_prompts
from clapgen.cli.generate_requests import (
    FileOptions,
    check_destination,
    check_weights,
    recorded_dtype,
    recorded_model,
    what_and_where,
)
from clapgen.cli.options import DeviceOption, ForceOption, JsonOption
from clapgen.devices import check_device, choose_device
from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    from generation.generator import Generator
    from generation.rendering import SavedClip
    from generation.requests import GenerationRequest

EPILOG = """
[bold]Examples[/bold]

clapgen generate "rain on a tin roof"\n
clapgen generate "a dog barks twice" -o dog.flac --seconds 4 --seed 7\n
clapgen generate "church bells" --candidates 8 --plot\n
clapgen generate --prompts prompts.csv -o sounds/ (run it again to continue where it stopped)\n
clapgen generate "rain" --count 4 --loudness -23\n
clapgen generate "rain" --edit-prompt (from a caption such as "It is raining heavily")\n
clapgen generate --mix "rain:0.7" --mix street.wav:0.3 --without speech.wav\n
clapgen generate "underwater" --like bell.wav\n
clapgen generate "a wooden gate creaks" --library sounds.library --neighbours 5\n
clapgen generate "a wooden gate creaks" --library sounds.library --neighbours 0 --max-similarity 0.9\n
clapgen generate --from dog.flac -o again.flac (the same sound, bit for bit)\n
clapgen generate -o - --format wav -- "-20 degrees, wind" | aplay\n

A line of a .jsonl file is an object such as {"prompt": "rain", "seconds": 4, "seed": 1, "name": "rain-short"}; a table
has a column "prompt" and columns with these names.
"""


class GenerateCommand(TyperCommand):
    """Fills ranges, defaults and names into the help when it is shown: `clapgen --help` must not import `generation`,
    which a file of the user may hide."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Show the help of `clapgen generate`."""
        from generation.destinations import FILE_RANGES, FORMATS
        from generation.diffusion.samplers import SAMPLERS
        from generation.prompt_files import SUFFIXES
        from generation.requests import DEFAULTS, DTYPES, LEVELS, RANGES

        names = {"samplers": ", ".join(SAMPLERS), "formats": ", ".join(FORMATS), "suffixes": ", ".join(SUFFIXES)}
        names |= {"dtypes": ", ".join(DTYPES), "levels": ", ".join(LEVELS), "rate": str(FILE_RANGES["rate"])}
        for parameter in self.params:
            if help_text := getattr(parameter, "help", None):
                parameter.help = help_text.format(default=DEFAULTS, **RANGES, **names)  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


def generate(
    prompts: Annotated[list[str] | None, typer.Argument(help="Text prompts; one sound per prompt.")] = None,
    prompt_file: Annotated[
        Path | None,
        typer.Option("--prompts", help="File of prompts, one of {suffixes}; - reads a prompt per line from stdin."),
    ] = None,
    sidecar: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Generate a sound again from its sidecar .json or the sound file; other options override it."
        ),
    ] = None,
    edit_prompt: Annotated[
        bool,
        typer.Option("--edit-prompt", help="Turn short prompts into captions like those the model was trained on."),
    ] = False,
    exemplars: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Captions for --edit-prompt: a manifest, a table, or a text file with one on each line. "
            "\\[default: the model's]",
        ),
    ] = None,
    rewriter: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_FOLDER",
            help="Causal language model (safetensors) that proposes the captions of --edit-prompt. \\[default: none]",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File (its suffix sets the format), folder, or - for stdout. \\[default: this folder]",
        ),
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
    seed: Annotated[int | None, typer.Option(help="Random seed; -1 draws one. \\[default: {default.seed}]")] = None,
    count: Annotated[
        int, typer.Option(min=1, max=10_000, help="Sounds per prompt, with seeds that follow each other.")
    ] = 1,
    candidates: Annotated[
        int | None,
        typer.Option(
            help="Generate this many, {candidates}, and keep the one with the best CLAP score. "
            "\\[default: {default.candidates}]"
        ),
    ] = None,
    peak: Annotated[
        float | None, typer.Option(help="Peak in dBFS, {peak}. \\[default: {default.peak:g}]", show_default=False)
    ] = None,
    loudness: Annotated[
        float | None, typer.Option(help="Loudness in LUFS (EBU R 128), {loudness}, instead of a peak.")
    ] = None,
    level: Annotated[
        str | None, typer.Option(help="as-is keeps the loudness at which the model made the sound; one of {levels}.")
    ] = None,
    mix: Annotated[
        list[str] | None,
        typer.Option("--mix", help="TEXT:WEIGHT or FILE:WEIGHT instead of a prompt; repeat it to mix several."),
    ] = None,
    like: Annotated[
        list[Path] | None,
        typer.Option("--like", help="Sound file to be like, instead of a prompt or with one."),
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", help="TEXT or FILE to stay away from; may be repeated.")
    ] = None,
    library: LibraryOption = None,
    neighbours: NeighboursOption = None,
    neighbour_scale: ScaleOption = None,
    neighbour_strength: StrengthOption = None,
    neighbour_blend: BlendOption = None,
    max_similarity: MaxSimilarityOption = None,
    tries: TriesOption = None,
    audio_format: Annotated[str | None, typer.Option("--format", help="One of {formats}. \\[default: wav]")] = None,
    rate: Annotated[
        int | None, typer.Option(help="Sample rate of the file in Hz, {rate}. \\[default: the model's]")
    ] = None,
    channels: Annotated[int | None, typer.Option(help="1, or 2 for the same sound on both. \\[default: 1]")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="Bundled model (see `clapgen models`) or model folder. \\[default: default]"
        ),
    ] = None,
    device: DeviceOption = "auto",
    dtype: Annotated[
        str | None,
        typer.Option(help="Number format of the diffusion network: {dtypes}. \\[default: see `clapgen doctor`]"),
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
        "peak": peak, "loudness": loudness, "level": level, "neighbour_scale": neighbour_scale,
        "neighbour_strength": neighbour_strength, "neighbour_blend": neighbour_blend,
    }  # fmt: skip
    given = {key: value for key, value in options.items() if value is not None}
    prompts, more = with_ingredients(prompts, mix or [], like or [], without or [], negative_prompt)
    given |= more
    if sum(map(bool, (prompts, prompt_file, sidecar))) != 1:
        raise ClapgenError("give prompts as arguments, or --prompts FILE, or --from SIDECAR: exactly one of the three.")
    editing = EditOptions(edit_prompt, exemplars, rewriter)
    editing.check(sidecar, "mix" in given)
    check_device(device)
    from clapgen.model_store import open_model, part_hashes
    from generation.rendering import render, split_finished
    from generation.requests import DTYPES
    from generation.sidecars import PARTS, model_identity

    if dtype is not None and dtype not in DTYPES:
        raise ClapgenError(f"--dtype must be one of {', '.join(DTYPES)}, not '{dtype}'.")
    files = FileOptions(output, audio_format, rate, channels)
    requests, destination, original = what_and_where(prompts, prompt_file, sidecar, given, count, files)
    folder = open_model(model or recorded_model(original) or "default")
    novelty = open_novelty(library, max_similarity, tries, device)
    requests = edit_prompts(requests, folder, editing)
    if novelty is None or neighbours is not None:  # else the library is there to stay away from
        requests = with_neighbours(requests, library, neighbours, folder, device)
    identity = model_identity(folder.name, part_hashes(folder, PARTS), dtype or recorded_dtype(original))
    identity |= novelty.identity if novelty else {}
    check_weights(identity["model"], original, force)
    check_destination(destination, plot, as_json, force)
    warn_of_repeats(requests)
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
    warn_of_prompts(generator, remaining)
    bar = progress_bar(len(remaining))

    def rendered(some: list[GenerationRequest], maker: Generator) -> Iterator[SavedClip]:
        return render(some, destination, maker, batch_size, force, bar)

    try:
        clips = novelty.render(remaining, generator, rendered) if novelty else rendered(remaining, generator)
        for clip in clips:
            printer.show(clip)
    except KeyboardInterrupt:
        rest = "run the same command again to continue" if len(remaining) > 1 else "nothing was written"
        raise KeyboardInterrupt(
            f"interrupted; {printer.count - len(finished)} of {len(remaining)} sounds are finished, {rest}."
        ) from None
