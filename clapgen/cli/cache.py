"""`clapgen cache`: show or clear the embedding cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clapgen.cli.console import print_json, print_result, print_table
from clapgen.cli.options import JsonOption

if TYPE_CHECKING:
    from clapgen.embedders.store import Store

app = typer.Typer(
    help="Show or clear the embedding cache of `clapgen evaluate`.",
    no_args_is_help=True,
    epilog="""
[bold]Examples[/bold]

clapgen cache info\n
clapgen cache clear --older-than 30\n
CLAPGEN_CACHE=/data/cache clapgen cache info\n
""",
    rich_markup_mode="rich",
)

CacheOption = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        help="Folder of the embedding cache (default: $CLAPGEN_CACHE, or the user's cache folder).",
        show_default=False,
    ),
]
NoCacheOption = Annotated[bool, typer.Option("--no-cache", help="Do not use the embedding cache.")]


def open_cache(folder: Path | None, off: bool = False) -> Store:
    """The cache of a command; in memory with --no-cache, or if the default folder cannot be created."""
    from clapgen.cli.console import print_warning
    from clapgen.embedders.cache import EmbeddingCache
    from clapgen.embedders.store import MemoryStore
    from clapgen.errors import ClapgenError

    if off and folder is not None:
        raise ClapgenError("--cache and --no-cache contradict each other; give one of them.")
    if off:
        return MemoryStore()
    try:
        return EmbeddingCache(folder)
    except ClapgenError as error:
        if folder is not None:
            raise
        print_warning(f"embeddings are not cached: {error}")
        return MemoryStore()


@app.command()
def info(cache: CacheOption = None, as_json: JsonOption = False) -> None:
    """Show the cache's location, size and age."""
    from datetime import datetime

    from clapgen.embedders.cache import EmbeddingCache

    info = EmbeddingCache(cache).info()
    times = [None if time is None else datetime.fromtimestamp(time).astimezone() for time in (info.oldest, info.newest)]
    if as_json:
        oldest, newest = (None if time is None else time.isoformat(timespec="seconds") for time in times)
        sizes = {"bytes": info.bytes, "limit_bytes": info.limit_bytes}
        print_json({"folder": str(info.folder), "entries": info.entries, **sizes, "oldest": oldest, "newest": newest})
        return
    rows = [
        ("folder", str(info.folder)),
        ("entries", f"{info.entries:,}"),
        ("size", f"{info.bytes / 1e6:.1f} MB of at most {info.limit_bytes / 1e6:,.0f} MB"),
    ]
    rows += [
        (f"{age} entry last used", f"{time:%Y-%m-%d %H:%M}")
        for age, time in zip(("oldest", "newest"), times, strict=True)
        if time
    ]
    print_table(("embedding cache", ""), rows)


@app.command()
def clear(
    older_than: Annotated[
        float | None,
        typer.Option("--older-than", min=0, metavar="DAYS", help="Only entries unused for this many days."),
    ] = None,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete cached embeddings; they are recomputed when needed."""
    from clapgen.embedders.cache import EmbeddingCache

    store = EmbeddingCache(cache)
    removed = store.clear(older_than)
    if as_json:
        print_json({"folder": str(store.folder), "removed": removed, "entries": store.info().entries})
    else:
        print_result(f"{removed:,} entries removed from {store.folder}, {store.info().entries:,} left")
