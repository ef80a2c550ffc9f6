"""Options that several commands share, and the functions that act on them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clapgen.cli.console import garbage_collector_off, print_warning, spinner
from clapgen.devices import check_device, choose_device
from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    from clapgen.embedders import ClapEmbedder

ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="Bundled model (see `clapgen models`) or path of a model folder.")
]
ClapOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="Bundled model, model folder, or public CLAP: its folder, file, or name on the Hugging Face hub "
        "(laion/clap-htsat-unfused).",
    ),
]
WindowOption = Annotated[
    str,
    typer.Option(
        "--window",
        help="What of a clip longer than the model's window counts: mean (all of it), first, centre, or fusion "
        "(laion/clap-htsat-fused); the last three as other projects do it.",
    ),
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="Device to compute on: auto (a GPU if there is one), cpu, cuda, cuda:1, mps.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, one object per line.")]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Stop at the first unreadable file instead of skipping it.")
]
MaxHoursOption = Annotated[
    float, typer.Option(help="Hours of sound in one file above which it is skipped; small files can hold days.")
]
MAX_HOURS = 24.0
ForceOption = Annotated[bool, typer.Option("--force", "-f", help="Overwrite existing files.")]


def load_clap_option(name: str, device: str, window: str = "mean") -> ClapEmbedder:
    """The CLAP that --model names, with its --window. An unknown model or device is an error before torch is imported.

    Raises:
        ClapgenError: an unknown model, device or window.
    """
    check_device(device)
    check_model_name(name)
    name = name if window == "mean" else f"{name},window={window}"
    with garbage_collector_off(), spinner("Loading the model"):
        fetch_from_hub(name)
        from clapgen.embedders import load_clap

        return load_clap(name, choose_device(device))


def print_text_warnings(texts: Sequence[str], clap: ClapEmbedder, what: str = "texts") -> None:
    """Warn about texts that the model cuts, and about words that it does not know."""
    from clapgen.clap import Clap
    from clapgen.clap.coverage import coverage_warning
    from clapgen.embedders.text_length import cut_warning

    warnings = [cut_warning(texts, clap, what)]
    if isinstance(clap, Clap):
        warnings += [coverage_warning(text, clap.tokenizer) for text in texts]
    for warning in filter(None, warnings):
        print_warning(warning)


def check_model_name(name: str) -> None:
    """Refuse a name that is no model, folder, file or name on the hub, without importing torch."""
    from clapgen.embedders.checkpoints import is_hub_name
    from clapgen.embedders.registry import split_options

    plain, _ = split_options(name)
    if ":" not in plain and not is_hub_name(plain) and not Path(plain).expanduser().is_file():
        from clapgen.model_store import resolve_model

        resolve_model(plain)


def allow_hub_for(name: str) -> None:
    """Allow network access to the Hugging Face hub if the embedder `name` comes from there, as owner/name does."""
    from clapgen.embedders import needs_hub

    if needs_hub(name):
        allow_hub()


def fetch_from_hub(name: str) -> None:
    """Download the embedder `name` if it comes from the hub, before torch is imported, which takes long.

    Raises:
        ClapgenError: it cannot be downloaded.
    """
    allow_hub_for(name)
    from clapgen.embedders import find_on_hub

    find_on_hub(name)


def allow_hub() -> None:
    """Allow network access to the Hugging Face hub, because the user named a model there; before transformers loads."""
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):  # set for every command by clapgen.cli
        os.environ.pop(variable, None)


def check_new_file(path: Path, force: bool) -> None:
    """Check in advance that a file can be written. ClapgenError if it cannot, or exists and `force` is off."""
    if path.is_dir():
        raise ClapgenError(f"{path} is a folder; give the name of a file in it.")
    if path.exists() and not force:
        raise ClapgenError(f"{path} already exists; choose another name, or overwrite it with --force.")
    make_writable_folder(path.parent)


def make_writable_folder(folder: Path) -> None:
    """Create a folder if it is missing. ClapgenError if files cannot be created in it."""
    import tempfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ClapgenError(
            f"cannot write into the folder {folder}: {(error.strerror or str(error)).lower()}; choose another with -o."
        ) from error
