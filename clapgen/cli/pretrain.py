"""`clapgen pretrain`: the data tools of the pretrain package, under the same command."""

from __future__ import annotations

import typer

PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def pretrain(context: typer.Context) -> None:
    """Prepare data for training: turn public corpora on your disk into manifests. See `clapgen pretrain --help`."""
    from pretrain.cli import app

    command = typer.main.get_command(app)
    with command.make_context("clapgen pretrain", list(context.args) or ["--help"]) as own_context:
        command.invoke(own_context)
