"""`clapgen cache`: what is kept so that no sound is embedded twice, and how to be rid of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clapgen.cli.console import print_json, print_result, print_table
from clapgen.cli.options import JsonOption

if TYPE_CHECKING:
    from clapgen.embedders.cache import EmbeddingCache

app = typer.Typer(
    help="Show or clear the embeddings that `clapgen evaluate` keeps.",
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
        help="Folder of kept embeddings; else the one that CLAPGEN_CACHE names, or the user's cache folder.",
        show_default=False,
    ),
]
NoCacheOption = Annotated[bool, typer.Option("--no-cache", help="Neither look embeddings up nor keep them.")]


def open_cache(folder: Path | None, off: bool = False) -> EmbeddingCache | None:
    """The cache of a command; None with --no-cache, or where the usual folder cannot be made."""
    from clapgen.cli.console import print_warning
    from clapgen.embedders.cache import EmbeddingCache
    from clapgen.errors import ClapgenError

    if off and folder is not None:
        raise ClapgenError("--cache and --no-cache contradict each other; give one of them.")
    if off:
        return None
    try:
        return EmbeddingCache(folder)
    except ClapgenError as error:
        if folder is not None:
            raise
        print_warning(f"nothing is kept for the next run: {error}")
        return None


@app.command()
def info(cache: CacheOption = None, as_json: JsonOption = False) -> None:
    """Say where the cache is, how large, and of when."""
    from datetime import datetime

    from clapgen.embedders.cache import EmbeddingCache

    found = EmbeddingCache(cache).info()
    used = [None if at is None else datetime.fromtimestamp(at).astimezone() for at in (found.oldest, found.newest)]
    if as_json:
        oldest, newest = (None if at is None else at.isoformat(timespec="seconds") for at in used)
        sizes = {"bytes": found.bytes, "limit_bytes": found.limit_bytes}
        print_json({"folder": str(found.folder), "entries": found.entries, **sizes, "oldest": oldest, "newest": newest})
        return
    rows = [
        ("folder", str(found.folder)),
        ("entries", f"{found.entries:,}"),
        ("size", f"{found.bytes / 1e6:.1f} MB of at most {found.limit_bytes / 1e6:,.0f} MB"),
    ]
    rows += [
        (f"last use of the {age}", f"{at:%Y-%m-%d %H:%M}")
        for age, at in zip(("oldest", "newest"), used, strict=True)
        if at
    ]
    print_table(("embedding cache", ""), rows)


@app.command()
def clear(
    older_than: Annotated[
        float | None,
        typer.Option("--older-than", min=0, metavar="DAYS", help="Only what was not used for so many days."),
    ] = None,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete kept embeddings; they are computed again when they are needed."""
    from clapgen.embedders.cache import EmbeddingCache

    kept = EmbeddingCache(cache)
    removed = kept.clear(older_than)
    if as_json:
        print_json({"folder": str(kept.folder), "removed": removed, "entries": kept.info().entries})
    else:
        print_result(f"{removed:,} entries removed from {kept.folder}, {kept.info().entries:,} left")
