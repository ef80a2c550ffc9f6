"""`clapgen serve`: the web page and the HTTP API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clapgen.cli.console import garbage_collector_off, print_result, print_warning, spinner
from clapgen.cli.options import DeviceOption
from clapgen.devices import check_device
from clapgen.errors import ClapgenError

EPILOG = """
[bold]Examples[/bold]

clapgen serve (then open http://127.0.0.1:7860)\n
clapgen serve --library sounds.library\n
clapgen serve --host 0.0.0.0 --token-file tokens.txt\n
curl localhost:7860/v1/audio/generations --json '{"prompt": "rain"}' -H 'Accept: audio/*' -o rain.wav\n

The API is described at /docs. Nothing is fetched from anywhere, and uploads are deleted once they are worked on.
"""

NEEDS_EXTRA = "clapgen serve needs fastapi, uvicorn and python-multipart; install them with: pip install 'clapgen[web]'"


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 7860,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="Bundled model, model folder or public CLAP; may be repeated, then requests choose. One is in memory "
            "at a time. \\[default: default]",
        ),
    ] = None,
    library: Annotated[
        str | None, typer.Option("--library", "-l", help="Library (`clapgen library`) to search.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File with tokens, one a line; requests then need one of them (Bearer).")
    ] = None,
    max_upload: Annotated[float, typer.Option(help="Largest upload in MB.")] = 64.0,
    max_seconds: Annotated[float, typer.Option(help="Longest uploaded sound in seconds, decoded.")] = 600.0,
    queue: Annotated[int, typer.Option(help="How many requests may wait; more are answered with 429.")] = 32,
    upload_seconds: Annotated[float, typer.Option(help="How long a client may take to send a request.")] = 120.0,
    keep_minutes: Annotated[float, typer.Option(help="How long results of jobs are kept.")] = 30.0,
    cors: Annotated[
        list[str] | None,
        typer.Option(help="Origin of another page that may use the API, e.g. https://example.org; may be repeated."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder for uploads while they are worked on. \\[default: a temporary one]"),
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Serve a web page and an HTTP API over everything that clapgen does."""
    check_device(device)
    from clapgen.server.settings import MEGABYTE, Settings, read_tokens

    settings = Settings(
        models=tuple(model or ["default"]),
        library=library,
        host=host,
        port=port,
        device=device,
        tokens=read_tokens(token_file) if token_file else (),
        max_upload=round(max_upload * MEGABYTE) if 0 < max_upload < 1e9 else 0,
        max_seconds=max_seconds,
        queue_length=queue,
        upload_seconds=upload_seconds,
        keep_minutes=keep_minutes,
        origins=tuple(cors or []),
        data=data,
        warm_up=True,
    )
    with garbage_collector_off(), spinner("Starting"):
        try:
            from clapgen.server.running import listening_socket, run_server
        except ModuleNotFoundError as error:
            if error.name not in ("fastapi", "starlette", "uvicorn", "python_multipart", "multipart"):
                raise
            raise ClapgenError(NEEDS_EXTRA) from error
        from clapgen.server.app import create_app

        listening = listening_socket(settings)
        app = create_app(settings)
    if not settings.is_local and not settings.tokens:
        print_warning(
            f"everyone who reaches {host} can use this server; give --token-file, or listen on 127.0.0.1 alone."
        )
    number = listening.getsockname()[1]
    address = f"[{host}]" if ":" in host else host
    print_result(f"http://{address}:{number}/ (API: /docs). Ctrl-C ends it.")
    run_server(app, listening)
