"""`clapgen library`: make a library of sounds, and keep it up to date."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clapgen.cli.cache import CacheOption, NoCacheOption, open_cache
from clapgen.cli.console import print_json, print_result, print_table, print_warning
from clapgen.cli.options import MAX_HOURS, DeviceOption, ForceOption, JsonOption, MaxHoursOption, check_new_file
from clapgen.errors import ClapgenError
from clapgen.terminal import progress

if TYPE_CHECKING:
    from clapgen.library.adding import AddReport
    from clapgen.library.library import Library

MOST_NAMED = 20  # paths of one kind that are printed; --json has all

app = typer.Typer(
    help="Make a library of sounds for `clapgen search`, and keep it up to date.",
    no_args_is_help=True,
    epilog="""
[bold]Examples[/bold]

clapgen library add fx.library recordings/\n
clapgen library add fx.library\n
clapgen library add fx.library sounds.jsonl\n
clapgen library status fx.library\n
clapgen library watch fx.library\n
clapgen library map fx.library -o map.html\n
clapgen search fx.library "wooden door creaks slowly"\n

A library is a folder. Paths of sounds below the folder that holds it are relative, so both can be moved together.\n
Or it is on a PostgreSQL server with pgvector, for many machines: postgresql://USER@HOST/DATABASE?schema=NAME
(requires clapgen\\[postgres]; what is left out comes from PGHOST, PGUSER, PGPASSWORD, ~/.pgpass, … as for psql).
""",
    rich_markup_mode="rich",
)

LibraryArgument = Annotated[str, typer.Argument(metavar="LIBRARY", help="Folder of the library, or postgresql://….")]
LibraryModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="CLAP of a new library: a bundled model, a model folder, or laion:NAME_OR_FOLDER. \\[default: default]",
    ),
]


def open_library(location: str, model: str | None = None, device: str = "auto", create: bool = False) -> Library:
    """The library of a command; an unknown device or model is an error before torch is imported."""
    from clapgen.cli.options import allow_hub_for
    from clapgen.devices import check_device
    from clapgen.library.library import Library
    from clapgen.model_store import resolve_model

    check_device(device)
    if model is not None:
        if ":" not in model:
            resolve_model(model)
        allow_hub_for(model)
    return Library.open(location, model, device, create)


@app.command()
def add(
    library: LibraryArgument,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH...",
            help="Sounds, folders, or manifests (.jsonl, .csv); the folders added before if left out.",
        ),
    ] = None,
    max_hours: MaxHoursOption = MAX_HOURS,
    model: LibraryModelOption = None,
    device: DeviceOption = "auto",
    cache: CacheOption = None,
    no_cache: NoCacheOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add sounds, or bring a library up to date: only what is new or changed is read."""
    if not max_hours > 0:
        raise ClapgenError(f"--max-hours must be above 0, not {max_hours:g}.")
    from clapgen.library.sources import find_sources

    sources = find_sources(paths) if paths else None  # a wrong path is an error before a library is made
    with open_library(library, model, device, create=bool(paths)) as opened:
        if sources is None:
            sources = find_sources(_folders(opened))
        done = 0
        with progress(len(sources.files), "files") as update:

            def advance(count: int) -> None:
                nonlocal done
                done += count
                update(done, "Adding")

            store = open_cache(cache, no_cache)
            try:
                report = opened.add(sources, store, advance, 3600 * max_hours)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(
                    f"interrupted; {len(opened)} sounds are in the library. Run the command again to go on."
                ) from None
        _print_report(opened, report, as_json)
        if report.skipped:
            raise ClapgenError(f"{_count(len(report.skipped), 'file')} could not be added (listed above).")


@app.command()
def remove(
    library: LibraryArgument,
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATH...", help="Sounds, or folders with all below them.")
    ] = None,
    vanished: Annotated[bool, typer.Option("--vanished", help="Also the sounds whose files are gone.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take sounds out of a library; their files stay."""
    if not (paths or vanished):
        raise ClapgenError("nothing to remove; give sounds or folders, or --vanished.")
    with open_library(library) as opened:
        removed = opened.remove(paths or [], vanished)
        if as_json:
            print_json(
                {"library": opened.store.location, "removed": [str(path) for path in removed], "sounds": len(opened)}
            )
        else:
            print_result(f"{_count(len(removed), 'sound')} removed from {opened.store.location}, {len(opened):,} left")


@app.command()
def status(library: LibraryArgument, as_json: JsonOption = False) -> None:
    """Show what a library holds."""
    with open_library(library) as opened:
        totals, tags, folders = opened.store.totals(), opened.store.tags(), [str(each) for each in opened.folders]
        facts = opened.store.facts()
        if as_json:
            print_json(
                {
                    "library": opened.store.location,
                    **totals.__dict__,
                    "model": facts.get("model"),
                    "model_hash": facts.get("hash"),
                }
                | {"folders": folders, "tags": tags}
            )
            return
        rows = [
            ("sounds", f"{totals.sounds - totals.vanished:,}"),
            ("vanished", f"{totals.vanished:,}") if totals.vanished else ("", ""),
            ("length", f"{totals.seconds / 3600:,.1f} h"),
            ("vectors", f"{totals.vectors:,}" + (f" ({totals.indexed:,} in the index)" if totals.indexed else "")),
            ("on disk", f"{totals.bytes / 1e6:,.1f} MB") if totals.bytes else ("", ""),
            ("CLAP", opened.clap_name or "none yet"),
            ("folders", "\n".join(folders) or "none"),
            ("tags", ", ".join(f"{tag} {count}" for tag, count in list(tags.items())[:MOST_NAMED]) or "none"),
        ]
        print_table((f"library {opened.store.location}", ""), [row for row in rows if row[0]])


@app.command()
def verify(
    library: LibraryArgument,
    content: Annotated[bool, typer.Option("--content", help="Also hash every file again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check that a library is whole, and that its sounds are where it says."""
    from clapgen.library.verifying import verify_library

    with open_library(library) as opened, progress(opened.store.totals().sounds, "sounds") as update:
        problems = verify_library(opened.store, content, lambda done: update(done, "Verifying"))
        location = opened.store.location
    if as_json:
        print_json({"library": location, "problems": problems})
    elif not problems:
        print_result(f"{location} is whole")
    else:
        _print_named("problem", problems)
    if problems:
        raise ClapgenError(
            f"{location} has {_count(len(problems), 'problem')}; `clapgen library add {location}` reads changed files "
            "again, `clapgen library remove --vanished` forgets those that are gone."
        )


@app.command("map")
def draw_map(
    library: LibraryArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")] = Path("map.html"),
    sounds: Annotated[int, typer.Option(min=2, help="Draw at most so many sounds, from all over the library.")] = 300,
    force: ForceOption = False,
) -> None:
    """Draw a library as a page of points, each with a player; what sounds alike is near to each other."""
    from clapgen.library.map import write_map

    check_new_file(output, force)
    with open_library(library) as opened, progress(min(sounds, len(opened)), "sounds") as update:
        drawn = write_map(opened, output, sounds, force, lambda done: update(done, "Drawing"))
    print_result(f"{output}  ({_count(drawn, 'sound')})")


@app.command()
def watch(
    library: LibraryArgument,
    every: Annotated[float, typer.Option(min=1, help="Seconds between two looks at the folders.")] = 30.0,
    device: DeviceOption = "auto",
    cache: CacheOption = None,
    no_cache: NoCacheOption = False,
    as_json: JsonOption = False,
) -> None:
    """Keep a library up to date with its folders until Ctrl-C."""
    from clapgen.library.watching import watch_library

    store = open_cache(cache, no_cache)
    with open_library(library, device=device) as opened:
        folders = ", ".join(map(str, _folders(opened)))
        print_warning(f"watching {folders}; Ctrl-C ends it.")
        try:
            for found in watch_library(opened, store, every):
                if isinstance(found, str):
                    print_warning(found)
                else:
                    _print_report(opened, found, as_json)
        except KeyboardInterrupt:
            print_warning("stopped.")


def _folders(library: Library) -> list[Path]:
    if not library.folders:
        raise ClapgenError(f"no folder was added to {library.store.location} yet; name the sounds to add.")
    for folder in library.folders:
        if not folder.is_dir():
            raise ClapgenError(
                f"the folder {folder} was added to {library.store.location} before, but is not there; bring it back, "
                f"name the folders to add, or forget it: clapgen library remove {library.store.location} {folder}"
            )
    return library.folders


def _print_report(library: Library, report: AddReport, as_json: bool) -> None:
    for remark in report.remarks:
        print_warning(remark)
    if as_json:
        lists = {
            "moved": [[str(before), str(after)] for before, after in report.moved],
            "vanished": [str(path) for path in report.vanished],
            **{
                name: [{"path": str(path), "reason": reason} for path, reason in getattr(report, name)]
                for name in ("skipped", "silent")
            },
        }
        counts = {name: getattr(report, name) for name in ("added", "changed", "described", "unchanged")}
        print_json({"library": library.store.location, **counts, **lists, "sounds": len(library)})
    else:
        _print_named("moved", [f"{before} → {after}" for before, after in report.moved])
        _print_named("vanished", [str(path) for path in report.vanished])
        for path, note in report.silent[:MOST_NAMED]:
            print_warning(f"{path}: {note}; its embedding is not meaningful.")
        for _, reason in report.skipped[:MOST_NAMED]:
            print_warning(f"skipped: {reason}")
        counts = {
            "added": report.added,
            "changed": report.changed,
            "described anew": report.described,
            "moved": len(report.moved),
            "vanished": len(report.vanished),
            "unchanged": report.unchanged,
        }
        told = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "nothing new"
        print_result(f"{library.store.location}: {told}; {_count(len(library), 'sound')} in all")


def _print_named(what: str, lines: list[str]) -> None:
    for line in lines[:MOST_NAMED]:
        print_result(f"{what}: {line}")
    if len(lines) > MOST_NAMED:
        print_result(f"{what}: {len(lines) - MOST_NAMED} more (all: --json)")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
