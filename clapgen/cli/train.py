"""`clapgen train`: train a network from a recipe."""

from __future__ import annotations

import importlib
import importlib.util
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clapgen.cli.options import allow_hub, allow_hub_for
from clapgen.errors import SIBLINGS, ClapgenError

EPILOG = """
[bold]Examples[/bold]

clapgen train text manifest=data/manifest.jsonl\n
clapgen train clap manifest=data/manifest.jsonl training.output=runs/clap\n
clapgen train diffusion --config my-recipe.yaml training.steps=20000\n
clapgen train captioner text=captions.txt,data/manifest.jsonl\n

Repeat the command to resume an interrupted run.
"""


class TaskName(StrEnum):
    """What can be trained, and the module of its recipe."""

    module: str

    text = "text", "pretrain.distillation"
    clap = "clap", "pretrain.recipe"
    autoencoder = "autoencoder", "generation.autoencoder.training.recipe"
    diffusion = "diffusion", "generation.diffusion.training.recipe"
    captioner = "captioner", "captioning.training.recipe"
    tagger = "tagger", "pretrain.tagger"

    def __new__(cls, name: str, module: str) -> TaskName:
        member = str.__new__(cls, name)
        member._value_, member.module = name, module
        return member


LOOP_PACKAGES = ("accelerate", "tensorboard")  # checked before data is read; recipes import what else they need


def train(
    task: Annotated[TaskName, typer.Argument(help="Network to train.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings that override the recipe, e.g. training.seed=1."),
    ] = None,
    config: Annotated[
        str, typer.Option("--config", "-c", help="Recipe: a YAML file, or the name of a recipe shipped with clapgen.")
    ] = "default",
) -> None:
    """Train a network from a recipe (requires pip install "clapgen\\[train]")."""
    from clapgen.configuration import recipe_path

    overrides = overrides or []
    for override in overrides:
        if "=" not in override:
            raise ClapgenError(f"'{override}' is not a setting; write key=value, e.g. training.steps=1000.")
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
        importlib.import_module(task.module).run(path, overrides)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("clapgen", *SIBLINGS):
            raise
        raise _needs(error.name or "") from error


def _needs(package: str) -> ClapgenError:
    return ClapgenError(f"training needs the package {package}: pip install 'clapgen[train]'")
