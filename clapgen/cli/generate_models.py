"""Which model `clapgen generate --model` means, and what that changes: a clapgen model, or a public generator."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clapgen.cli.console import print_warning
from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    from generation.public import Checkpoint
    from generation.requests import GenerationRequest

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Bundled model (see `clapgen models`), model folder, or a public generator by its folder or its name on "
        "the Hugging Face hub, such as cvssp/audioldm-s-full-v2 or facebook/musicgen-small. \\[default: default]",
    ),
]
RankByOption = Annotated[
    str | None,
    typer.Option("--rank-by", help="CLAP that ranks candidates: any name that --model of other commands takes. "
    "\\[default: the model's own]"),
]  # fmt: skip

SHOWN_LICENCES = "licences.json"  # in the cache folder


def public_model(name: str | None) -> Checkpoint | None:
    """The public checkpoint of this name; None if the name is not that of one."""
    from generation.public.checkpoints import is_public, open_checkpoint

    return open_checkpoint(name) if name and is_public(name) else None


def with_authors_settings(given: Mapping[str, Any], checkpoint: Checkpoint | None) -> dict[str, Any]:
    """The options, over the settings that the authors of a public model use.

    Raises:
        ClapgenError: an option means nothing to the model.
    """
    if checkpoint is None:
        return dict(given)
    from generation.public.catalogue import check_settings

    check_settings(checkpoint.kind, checkpoint.name, given, given)
    return {**checkpoint.kind.defaults(), **given}


def check_requests(
    checkpoint: Checkpoint, requests: Sequence[GenerationRequest], library: str | None, edit_prompt: bool
) -> None:
    """ClapgenError if a public model cannot do what is requested."""
    from generation.public.catalogue import check_settings

    if edit_prompt:
        raise ClapgenError(f"{checkpoint.name} cannot use --edit-prompt, which needs the captions of a clapgen model.")
    if library is not None:
        raise ClapgenError(f"{checkpoint.name} cannot use --library: neighbours need a clapgen model.")
    for request in requests:
        check_settings(checkpoint.kind, checkpoint.name, request.settings())


def show_licence(checkpoint: Checkpoint) -> None:
    """Print the licence of a public model when it is used for the first time."""
    from clapgen.embedders.cache import default_cache_folder
    from clapgen.files import atomic_path

    path = default_cache_folder() / SHOWN_LICENCES
    shown: list[Any] = []
    with contextlib.suppress(OSError, ValueError, RecursionError):
        found = json.loads(path.read_text(encoding="utf-8"))
        shown = found if isinstance(found, list) else []
    if checkpoint.name in shown:
        return
    print_warning(f"{checkpoint.name} ({checkpoint.kind.name}) is published under: {checkpoint.licence}.")
    with contextlib.suppress(OSError, ClapgenError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path, overwrite=True) as temporary:
            temporary.write_text(json.dumps([*shown, checkpoint.name]) + "\n", encoding="utf-8")
