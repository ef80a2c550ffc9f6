"""`clapgen models`: list models, show their cards, verify their files, join parts of several, average CLAPs, add
captions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from clapgen.cli.console import LINE_BREAKS, garbage_collector_off, print_json, print_result, print_table, spinner
from clapgen.cli.options import JsonOption
from clapgen.errors import ClapgenError
from clapgen.terminal import printable

app = typer.Typer(
    help="List models, show a model's card, verify its files, join parts of several, average CLAPs, add captions.",
    epilog="""
[bold]Examples[/bold]

clapgen models\n
clapgen models show default\n
clapgen models verify runs/my-model\n
clapgen models join runs/clap/model default default -o my-model (a CLAP whose audio side was trained further)\n
clapgen models average runs/clap/checkpoints/step-* -o my-average\n
clapgen models captions my-model --manifest manifest.jsonl (for `clapgen generate --edit-prompt`)\n
""",
    rich_markup_mode="rich",
)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of a bundled model, or path of a model folder.")
]


@app.callback(invoke_without_command=True)
def list_all(context: typer.Context, as_json: JsonOption = False) -> None:
    """List models, show a model's card, verify its files, join parts of several, average CLAPs, add captions."""
    if context.invoked_subcommand is not None:
        return
    from clapgen.model_store import list_models, resolve_model

    found = [_summary(name, resolve_model(name)) for name in list_models()]
    if as_json:
        for summary in found:
            print_json(summary)
    elif found:
        rows = [(model["name"], f"{model['megabytes']:.1f} MB", ", ".join(model["parts"])) for model in found]
        print_table(("model", "size", "parts"), rows)
    else:
        print_result("This installation includes no models; pass the path of a model folder with --model.")


def _summary(name: str, folder: Path) -> dict[str, Any]:
    from clapgen.model_store import WEIGHTS_FILE, parts_of, weights_hash

    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    parts = {part: weights_hash(folder, part) for part in parts_of(folder) if (folder / part / WEIGHTS_FILE).is_file()}
    return {"name": name, "path": str(folder), "megabytes": round(size / 1e6, 1), "parts": parts}


@app.command()
def show(name: NameArgument = "default", as_json: JsonOption = False) -> None:
    """Show a model's card: what it is for, what it was trained on, and how good it is."""
    from clapgen.model_store import CARD_FILE, resolve_model

    folder = resolve_model(name)
    card = folder / CARD_FILE
    text = card.read_text(encoding="utf-8") if card.is_file() else None
    if as_json:
        print_json({**_summary(name, folder), "card": text})
    elif text is None:
        raise ClapgenError(f"{folder} has no {CARD_FILE}.")
    elif sys.stdout.isatty():
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(printable(text, LINE_BREAKS)))
    else:
        print_result(text.rstrip("\n"))


@app.command()
def verify(
    name: NameArgument = "default",
    record: Annotated[bool, typer.Option("--record", help="Re-record checksums after an intentional change.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check every file of a model against its recorded checksum, and whether its parts fit together."""
    from clapgen.model_store import record_checksums, resolve_model, verify_model

    folder = resolve_model(name)
    if record:
        record_checksums(folder)
    checks = verify_model(folder)
    if not checks:
        raise ClapgenError(f"{folder} is not a model folder: it has no part with a model.safetensors.")
    if as_json:
        for check in checks:
            print_json({"path": str(check.file), "ok": not check.problem, "problem": check.problem or None})
    else:
        print_table(("file", "state"), [(str(check.file), check.problem or "ok") for check in checks])
    bad = [check for check in checks if check.problem]
    if bad:
        raise ClapgenError(f"{len(bad)} of {len(checks)} files failed the checksum, first {bad[0].file}.")
    with garbage_collector_off(), spinner("Checking whether the parts fit"):
        from generation.compatibility import misfits

        problems = misfits(folder)
    if problems:
        raise ClapgenError(f"{folder}: every file is intact, but the parts do not fit: {' '.join(problems)}")


@app.command()
def join(
    clap: Annotated[str, typer.Argument(metavar="CLAP", help="Model to take the CLAP from: a name or a folder.")],
    autoencoder: Annotated[str, typer.Argument(metavar="AUTOENCODER", help="Model to take the autoencoder from.")],
    diffusion: Annotated[str, typer.Argument(metavar="DIFFUSION", help="Model to take the diffusion model from.")],
    captioner: Annotated[
        str | None, typer.Argument(metavar="CAPTIONER", help="Model to take the captioner from, if any.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="New folder for the model.")] = ...,  # type: ignore[assignment]
) -> None:
    """Join parts of several models into one, if they fit.

    They fit if the diffusion model was trained with the text side of the CLAP and the encoder of the autoencoder. The
    audio side and the decoder may have been trained further.
    """
    sources = {"clap": clap, "autoencoder": autoencoder, "diffusion": diffusion, "captioner": captioner}
    with garbage_collector_off(), spinner("Joining"):
        from generation.joining import join_parts

        join_parts({part: source for part, source in sources.items() if source is not None}, output)
    print_result(str(output))


@app.command()
def average(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="Models or checkpoints (runs/clap/checkpoints/step-…).")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="New folder for the model.")],
) -> None:
    """Average the weights of CLAPs of one architecture: checkpoints of a run, or models trained from one start."""
    with garbage_collector_off(), spinner("Averaging"):
        from clapgen.training.model_average import average_claps

        average_claps(sources, output)
    print_result(str(output))


@app.command()
def captions(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model to add captions to: a name or a folder.")],
    manifest: Annotated[Path, typer.Option(metavar="FILE", help="Manifest of the clips that it was trained on.")],
    split: Annotated[str, typer.Option(help="Split of the clips; those without a split count, too.")] = "train",
    exclude_copyleft: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Leave out clips with this copyleft: gpl, sharealike.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Also captions of clips that are marked as not free.")] = False,
) -> None:
    """Add the captions of its training clips to a model, for `clapgen generate --edit-prompt`.

    Use the same splits and licences as in its training. They are saved as diffusion/captions.txt, one on each line.
    """
    from generation.prompts.caption_library import captions_of_manifest, save_captions

    found = captions_of_manifest(manifest, split, not every, exclude_copyleft or [])
    print_result(f"{save_captions(model, found)}  ({len(found):,} captions)")
