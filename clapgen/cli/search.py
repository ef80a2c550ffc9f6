"""`clapgen search`: find sounds of a library by text and by sound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clapgen.cli.console import clock, print_json, print_table, print_warning
from clapgen.cli.library import LibraryArgument, LibraryModelOption, open_library
from clapgen.cli.options import DeviceOption, ForceOption, JsonOption, check_new_file
from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    from clapgen.library.library import Hit

NOVELTY = 0.5  # of --diverse; see `diverse_order`

EPILOG = """
[bold]Examples[/bold]

clapgen search fx.library "wooden door creaks slowly"\n
clapgen search fx.library creak.wav -k 20\n
clapgen search fx.library "crowd in a hall" --without speech --min-seconds 10\n
clapgen search fx.library --text "metallic" --like door.wav --weight 0.3\n
clapgen search fx.library "rain" --licence cc0 --under recordings/2024 --json\n
clapgen search fx.library "dog" --words --diverse --html dogs.html --copy-to dogs/\n

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
    words: Annotated[
        bool, typer.Option("--words", help="Also by the words in captions, tags and names, with synonyms.")
    ] = False,
    thesaurus: Annotated[
        Path | None,
        typer.Option("--thesaurus", help="With --words: your synonyms, {label: [words]} in JSON, or label TAB words."),
    ] = None,
    diverse: Annotated[
        bool, typer.Option("--diverse", help="Different sounds, instead of ten that are alike.")
    ] = False,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Also write a table.")] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", help="Also write a page with players and spectrograms.")
    ] = None,
    play_list: Annotated[Path | None, typer.Option("--play-list", help="Also write a play list (.m3u8).")] = None,
    copy_to: Annotated[
        Path | None, typer.Option("--copy-to", help="Also copy the sounds into this folder, with a credits.csv.")
    ] = None,
    model: LibraryModelOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
    force: ForceOption = False,
) -> None:
    """Find sounds by what they sound like."""
    from clapgen.library.query import is_file
    from clapgen.library.words import load_thesaurus

    for file in filter(None, (csv_file, html_file, play_list)):
        check_new_file(file, force)
    if play_list is not None and play_list.suffix.lower() not in (".m3u", ".m3u8"):
        raise ClapgenError(f"--play-list {play_list}: the file name must end in .m3u8.")
    synonyms = load_thesaurus(thesaurus) if words or thesaurus else None

    texts, sounds = list(text or []), list(like or [])
    if query is not None and is_file(query):
        sounds.append(Path(query))
    elif query is not None:
        texts.append(query)
    from clapgen.library.export import write_hits_csv, write_playlist
    from clapgen.library.page import write_hits_page

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
            words=words or thesaurus is not None,
            thesaurus=synonyms,
            diverse=NOVELTY if diverse else 0.0,
        )
        location = opened.store.location
    if not hits:
        raise ClapgenError("no sound passes the filters.")
    _print(hits, as_json)
    if csv_file:
        write_hits_csv(hits, csv_file, force)
    if play_list:
        write_playlist(hits, play_list, force)
    if html_file:
        write_hits_page(hits, _in_words(texts, sounds, without or []), location, html_file, force)
    if copy_to:
        _copy(hits, copy_to)


def _in_words(texts: list[str], sounds: list[Path], without: list[str]) -> str:
    """A query as the title of a page."""
    found = " + ".join([*texts, *(sound.name for sound in sounds)])
    return " − ".join([found, *without])


def _copy(hits: list[Hit], folder: Path) -> None:
    from clapgen.library.export import copy_hits

    copies, problems = copy_hits(hits, folder)
    print_warning(f"{len(copies)} sounds copied to {folder}, their licences and authors are in credits.csv.")
    if problems:
        raise ClapgenError(problems[0] + (f" {len(problems) - 1} more could not be copied." if problems[1:] else ""))


def _print(hits: list[Hit], as_json: bool) -> None:
    from clapgen.library.export import hit_as_dict

    if as_json:
        for rank, hit in enumerate(hits, 1):
            print_json(hit_as_dict(rank, hit))
        return
    rows = []
    for rank, hit in enumerate(hits, 1):
        at = ", ".join(f"{clock(m.start)}–{clock(m.end)}" for m in hit.moments[:1])
        caption = hit.about.captions[0] if hit.about.captions else hit.about.name or ""
        rows.append((str(rank), f"{hit.score:.3f}", clock(hit.sound.seconds), at, str(hit.path), caption))
    columns = ("", "score", "length", "at", "path", "caption")
    shown = [index for index in range(len(columns)) if index != 3 or any(row[3] for row in rows)]
    print_table([columns[i] for i in shown], [[row[i] for i in shown] for row in rows])
