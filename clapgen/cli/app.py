"""The command line: every command, assembled."""

from __future__ import annotations

from typing import Annotated

import typer

from clapgen import __version__
from clapgen.cli import (
    cache,
    caption,
    classify,
    doctor,
    edit,
    embed,
    evaluate,
    generate,
    library,
    library_duplicates,
    locate,
    models,
    pretrain,
    reconstruct,
    score,
    search,
    serve,
    train,
)
from clapgen.cli.console import print_result

EPILOG = """
[bold]Start here[/bold]

clapgen generate "rain on a tin roof"\n
clapgen caption recording.wav\n
clapgen classify recording.wav --labels rain,wind,traffic\n
clapgen generate --help
"""

app = typer.Typer(
    name="clapgen",
    help="Generate sound from text, caption sounds, classify and search them, and evaluate all of it, offline.",
    epilog=EPILOG,
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        print_result(f"clapgen {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show full tracebacks and the messages of libraries.")
    ] = False,  # handled before the commands are parsed, in clapgen.cli.run
) -> None:
    pass


app.command("generate", cls=generate.GenerateCommand, epilog=generate.EPILOG)(generate.generate)
app.command("edit", epilog=edit.EPILOG)(edit.edit)
app.command("caption", epilog=caption.EPILOG)(caption.caption)
app.command("embed", epilog=embed.EPILOG)(embed.embed)
app.command("classify", epilog=classify.EPILOG)(classify.classify)
app.command("locate", epilog=locate.EPILOG)(locate.locate)
app.command("score", epilog=score.EPILOG)(score.score)
app.command("search", epilog=search.EPILOG)(search.search)
library.app.command("duplicates", epilog=library_duplicates.EPILOG)(library_duplicates.duplicates)
app.add_typer(library.app, name="library")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(models.app, name="models")
app.command("serve", epilog=serve.EPILOG)(serve.serve)
app.command("reconstruct", epilog=reconstruct.EPILOG)(reconstruct.reconstruct)
app.command("train", epilog=train.EPILOG)(train.train)
app.add_typer(pretrain.app, name="pretrain")
app.add_typer(cache.app, name="cache")
app.command("doctor")(doctor.doctor)
