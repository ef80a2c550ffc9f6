"""`clapgen evaluate`: metrics, with a report of what they were measured with, on what, and how certain they are."""

from __future__ import annotations

import typer

from clapgen.cli.evaluate import captions, compose, generation, locate, retrieval, zero_shot

app = typer.Typer(
    help="Evaluate generated sounds, retrieval, classification and captions.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog="""
[bold]Examples[/bold]

clapgen evaluate generation generated/ --reference real/ --html report.html\n
clapgen evaluate retrieval manifest.jsonl --split val\n
clapgen evaluate zero-shot ESC-50/ --json\n
""",
)
app.command("generation", epilog=generation.EPILOG)(generation.generation)
app.command("retrieval", epilog=retrieval.EPILOG)(retrieval.retrieval)
app.command("zero-shot", epilog=zero_shot.EPILOG)(zero_shot.zero_shot)
app.command("captions", epilog=captions.EPILOG)(captions.captions)
app.command("compose", epilog=compose.EPILOG)(compose.compose)
app.command("locate", epilog=locate.EPILOG)(locate.locate)
