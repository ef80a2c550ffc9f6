"""`clapgen generate --library`: the neighbours of each prompt, found before anything is generated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clapgen.cli.console import print_warning
from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    from clapgen.model_store import ModelFolder
    from generation.requests import GenerationRequest

LibraryOption = Annotated[
    str | None, typer.Option("--library", help="Library (`clapgen library`) whose sounds near to the prompt help.")
]
NeighboursOption = Annotated[
    int | None, typer.Option("--neighbours", min=0, help="How many of them, 0 to 10. \\[default: 3]")
]
ScaleOption = Annotated[
    float | None,
    typer.Option(
        help="How closely to follow them, {neighbour_scale}, if the model was trained with neighbours. "
        "\\[default: {default.neighbour_scale:g}]"
    ),
]
StrengthOption = Annotated[
    float | None,
    typer.Option(
        help="Start from the latents of a neighbour, {neighbour_strength}: the less, the more is left of it; 1 starts "
        "from noise. \\[default: {default.neighbour_strength:g}]"
    ),
]
BlendOption = Annotated[
    float | None,
    typer.Option(
        help="Move the prompt's embedding towards the neighbours' sounds, {neighbour_blend}. \\[default: 0; "
        "0.3 with --library and a model that was not trained with neighbours]"
    ),
]

USUAL_NEIGHBOURS = 3
USUAL_BLEND = 0.3


def with_neighbours(
    requests: Sequence[GenerationRequest], library: str | None, count: int | None, model: ModelFolder, device: str
) -> list[GenerationRequest]:
    """The requests with the sounds of the library that are nearest to each prompt.

    A model that does not look at neighbours has its condition blended with them, unless a way was chosen.

    Raises:
        ClapgenError: --neighbours without a library; an empty library, too few sounds in it, or another CLAP.
    """
    if library is None:
        if count is not None:
            raise ClapgenError("--neighbours needs --library, where they are looked for.")
        return list(requests)
    if count == 0:
        return list(requests)
    from clapgen.configuration import load_config
    from clapgen.library import Library
    from clapgen.model_store import CONFIG_FILE
    from generation.diffusion.config import DiffusionConfig
    from generation.diffusion.context import MOST_NEIGHBOURS
    from generation.retrieval import find_neighbours

    count = USUAL_NEIGHBOURS if count is None else count
    if count > MOST_NEIGHBOURS:
        raise ClapgenError(f"--neighbours must be 0 to {MOST_NEIGHBOURS}, not {count}.")
    attends = load_config(DiffusionConfig, Path(model.path) / "diffusion" / CONFIG_FILE).context_layers > 0
    with Library.open(library, model=str(model.path), device=device) as opened:
        found = {prompt: find_neighbours(opened, prompt, count) for prompt in {each.prompt: None for each in requests}}
    for prompt, neighbours in found.items():
        named = ", ".join(f"{Path(each.path).name} ({each.cosine:.2f})" for each in neighbours)
        print_warning(f"near to '{prompt[:40]}': {named}")
    helped = []
    for request in requests:
        unset = request.neighbour_blend == 0.0 and request.neighbour_strength == 1.0
        blend = USUAL_BLEND if unset and not attends else request.neighbour_blend
        helped.append(replace(request, neighbours=found[request.prompt], neighbour_blend=blend))
    return helped
