"""`clapgen models`: list models, show their cards, verify their files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from clapgen.cli.console import print_json, print_result, print_table
from clapgen.cli.options import JsonOption
from clapgen.errors import ClapgenError

app = typer.Typer(
    help="List models, show a model's card, or verify its files.",
    epilog="""
[bold]Examples[/bold]

clapgen models\n
clapgen models show default\n
clapgen models verify runs/my-model\n
""",
    rich_markup_mode="rich",
)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of a bundled model, or path of a model folder.")
]


@app.callback(invoke_without_command=True)
def list_all(context: typer.Context, as_json: JsonOption = False) -> None:
    """List models, show a model's card, or verify its files."""
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

        Console().print(Markdown(text))
    else:
        print_result(text.rstrip("\n"))


@app.command()
def verify(
    name: NameArgument = "default",
    record: Annotated[bool, typer.Option("--record", help="Re-record checksums after an intentional change.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check every file of a model against its recorded checksum."""
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
