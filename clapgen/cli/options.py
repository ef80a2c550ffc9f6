"""Options that several verbs share, and the checks that go with them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from clapgen.errors import ClapgenError

ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="Name of a bundled model (see `clapgen models`) or path of a model folder.")
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="Where to compute: auto (a GPU if there is one), cpu, cuda, cuda:1, mps.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON on stdout, one object a line, instead of text for people.")
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Stop at the first file that cannot be read, instead of leaving it out.")
]
ForceOption = Annotated[bool, typer.Option("--force", "-f", help="Replace files that exist already.")]


def allow_hub_for(name: str) -> None:
    """Let libraries reach the hub, before they are imported, where `name` is no folder here but something of the hub:
    ``kind:owner/name``, as `load_embedder` takes it."""
    kind, colon, which = name.partition(":")
    if colon and kind in ("laion", "encodec", "ast") and not Path(which).expanduser().is_dir():
        allow_hub()


def allow_hub() -> None:
    """Let libraries reach the hub, where the user has named something of it; before they are imported."""
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):  # set for every command by clapgen.cli
        os.environ.pop(variable, None)


def check_new_file(path: Path, force: bool) -> None:
    """Refuse an output file that exists, unless forced, or whose folder cannot be written, before the work is done."""
    if path.is_dir():
        raise ClapgenError(f"{path} is a folder; give the name of a file in it.")
    if path.exists() and not force:
        raise ClapgenError(f"{path} already exists; choose another name, or replace it with --force.")
    make_writable_folder(path.parent)


def make_writable_folder(folder: Path) -> None:
    """Make a folder where missing and try that a file can be made in it. ClapgenError otherwise."""
    import tempfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ClapgenError(
            f"cannot write into the folder {folder}: {(error.strerror or str(error)).lower()}; choose another with -o."
        ) from error
