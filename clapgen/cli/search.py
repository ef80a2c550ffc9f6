"""`clapgen search`: find sounds of a library by text and by sound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clapgen.cli.console import clock, print_json, print_table
from clapgen.cli.library import LibraryArgument, LibraryModelOption, open_library
from clapgen.cli.options import DeviceOption, JsonOption
from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    from clapgen.library.library import Hit

EPILOG = """
[bold]Examples[/bold]

clapgen search fx.library "wooden door creaks slowly"\n
clapgen search fx.library creak.wav -k 20\n
clapgen search fx.library "crowd in a hall" --without speech --min-seconds 10\n
clapgen search fx.library --text "metallic" --like door.wav --weight 0.3\n
clapgen search fx.library "rain" --licence cc0 --under recordings/2024 --json\n

--json prints an object per sound: rank, path, score, moments (start, end, score), seconds, sample_rate, channels,
captions, tags, licence, author, category, name, recording, digest. The score is a cosine, -1 to 1.
"""


def search(
    library: LibraryArgument,
    query: Annotated[
        str | None, typer.Argument(metavar="TEXT|FILE", help="What to find: words, or a sound file.")
    ] = None,
    text: Annotated[list[str] | None, typer.Option("--text", "-t", help="What to find, in words; adds up.")] = None,
    like: Annotated[list[Path] | None, typer.Option("--like", "-l", help="A sound to find similar ones to.")] = None,
    weight: Annotated[float, typer.Option(help="Weight of the text against the sound, 0 to 1.")] = 0.5,
    without: Annotated[
        list[str] | None, typer.Option("--without", help="What to stay away from: words, or a sound file.")
    ] = None,
    k: Annotated[int | None, typer.Option("-k", help="How many sounds. \\[default: 10]", show_default=False)] = None,
    min_seconds: Annotated[float | None, typer.Option(help="Only sounds at least this long.")] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Only sounds at most this long.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Only sounds with this tag or UCS category.")] = None,
    licence: Annotated[
        list[str] | None, typer.Option("--licence", help="Only licences that contain this, such as cc0.")
    ] = None,
    under: Annotated[list[Path] | None, typer.Option("--under", help="Only sounds in this folder.")] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Compare whole files only, not parts of long ones.")] = False,
    model: LibraryModelOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Find sounds by what they sound like."""
    from clapgen.library.query import is_file

    texts, sounds = list(text or []), list(like or [])
    if query is not None and is_file(query):
        sounds.append(Path(query))
    elif query is not None:
        texts.append(query)
    with open_library(library, model, device) as opened:
        hits = opened.search(
            texts,
            sounds,
            without,
            k,
            weight,
            min_seconds=min_seconds,
            max_seconds=max_seconds,
            tags=tag or (),
            licences=licence or (),
            under=under or (),
            whole=whole,
        )
    if not hits:
        raise ClapgenError("no sound passes the filters.")
    _print(hits, as_json)


def as_dict(rank: int, hit: Hit) -> dict[str, Any]:
    """A hit as JSON values."""
    sound, about = hit.sound, hit.about
    return {
        "rank": rank,
        "path": str(hit.path),
        "score": round(hit.score, 6),
        "moments": [{"start": m.start, "end": m.end, "score": round(m.score, 6)} for m in hit.moments],
        "seconds": sound.seconds,
        "sample_rate": sound.sample_rate,
        "channels": sound.channels,
        "captions": list(about.captions),
        "tags": list(about.tags),
        **{name: getattr(about, name) for name in ("licence", "author", "category", "name", "recording")},
        "digest": sound.file.digest,
    }


def _print(hits: list[Hit], as_json: bool) -> None:
    if as_json:
        for rank, hit in enumerate(hits, 1):
            print_json(as_dict(rank, hit))
        return
    rows = []
    for rank, hit in enumerate(hits, 1):
        at = ", ".join(f"{clock(m.start)}–{clock(m.end)}" for m in hit.moments[:1])
        caption = hit.about.captions[0] if hit.about.captions else hit.about.name or ""
        rows.append((str(rank), f"{hit.score:.3f}", clock(hit.sound.seconds), at, str(hit.path), caption))
    columns = ("", "score", "length", "at", "path", "caption")
    shown = [index for index in range(len(columns)) if index != 3 or any(row[3] for row in rows)]
    print_table([columns[i] for i in shown], [[row[i] for i in shown] for row in rows])
