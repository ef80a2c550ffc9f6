"""`clapgen train`: run one of the training recipes."""

from __future__ import annotations

import importlib
import importlib.util
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clapgen.cli.options import allow_hub, allow_hub_for
from clapgen.errors import ClapgenError

EPILOG = """
[bold]Examples[/bold]

clapgen train text manifest=data/manifest.jsonl\n
clapgen train clap manifest=data/manifest.jsonl training.output=runs/clap\n
clapgen train diffusion --config my-recipe.yaml training.steps=20000\n
clapgen train captioner text=captions.txt,data/manifest.jsonl\n

The same command again continues where an interrupted run stopped.
"""


class Task(StrEnum):
    """What can be trained."""

    text = "text"
    clap = "clap"
    autoencoder = "autoencoder"
    diffusion = "diffusion"
    captioner = "captioner"


LOOP_PACKAGES = ("accelerate", "tensorboard")  # looked for before data is read; what one recipe needs, it imports
RECIPES = {
    Task.text: "pretrain.distillation",
    Task.clap: "pretrain.recipe",
    Task.autoencoder: "generation.autoencoder.training.recipe",
    Task.diffusion: "generation.diffusion.training.recipe",
    Task.captioner: "captioning.training.recipe",
}


def train(
    task: Annotated[Task, typer.Argument(help="Which network to train.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Settings that replace those of the recipe, e.g. training.seed=1."
        ),
    ] = None,
    config: Annotated[
        str, typer.Option("--config", "-c", help="A recipe: YAML file, or the name of one that comes with clapgen.")
    ] = "default",
) -> None:
    """Train a network by a recipe (needs the extra: pip install "clapgen\\[train]")."""
    from clapgen.configuration import recipe_path

    overrides = overrides or []
    for override in overrides:
        if "=" not in override:
            raise ClapgenError(f"'{override}' is not of the form key=value; e.g. training.steps=1000.")
        key, _, value = override.partition("=")
        if key == "clap":
            allow_hub_for(value)
        elif key == "pretrained" and not Path(value).is_dir():
            allow_hub()
    path = recipe_path(task.value, config)
    for package in LOOP_PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise _needs(package)
    try:
        importlib.import_module(RECIPES[task]).run(path, overrides)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("clapgen", "pretrain", "generation", "captioning"):
            raise
        raise _needs(error.name or "") from error


def _needs(package: str) -> ClapgenError:
    return ClapgenError(f"training needs the package {package}: pip install 'clapgen[train]'")
