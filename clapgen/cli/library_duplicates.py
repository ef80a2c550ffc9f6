"""`clapgen library duplicates`: which recordings a library holds more than once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clapgen.cli.cache import CacheOption, NoCacheOption, open_cache
from clapgen.cli.console import print_json, print_result, print_table, print_warning
from clapgen.cli.library import MOST_NAMED, LibraryArgument, open_library
from clapgen.cli.options import ForceOption, JsonOption, check_new_file
from clapgen.terminal import progress

if TYPE_CHECKING:
    from clapgen.fingerprints import DuplicateGroup

EPILOG = """
[bold]Examples[/bold]

clapgen library duplicates fx.library\n
clapgen library duplicates fx.library --exact --csv copies.csv\n

Recordings match at another gain, codec, sample rate or offset, as a part of a longer one, and mostly with noise 10 dB
below them; not if they are merely the same kind of sound. The first of a group is the longest. --json prints an object
per group: path, and members with path, of (the one it matches), exact, score (evidence; a match has 12 or more),
offset_seconds (where it starts in the other) and common_seconds.
"""


def duplicates(
    library: LibraryArgument,
    exact: Annotated[
        bool, typer.Option("--exact", help="Only files with the same content; quick, as no sound is read.")
    ] = False,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Also write a table, a row per sound.")] = None,
    cache: CacheOption = None,
    no_cache: NoCacheOption = False,
    as_json: JsonOption = False,
    force: ForceOption = False,
) -> None:
    """Find recordings that are in a library more than once: exact copies, and others by fingerprint."""
    if csv_file is not None:
        check_new_file(csv_file, force)
    store = open_cache(cache, no_cache)
    from clapgen.library.duplicates import library_duplicates, write_duplicates_csv

    done = 0
    with open_library(library) as opened:
        size = len(opened)
        with progress(2 * size, "steps") as update:

            def advance(count: int) -> None:
                nonlocal done
                done += count
                update(done, "Reading" if done < size else "Comparing")

            groups, skipped = library_duplicates(opened.store, store, exact, advance)
        location = opened.store.location
    for _, reason in skipped[:MOST_NAMED]:
        print_warning(f"not compared: {reason}")
    if len(skipped) > MOST_NAMED:
        print_warning(f"not compared: {len(skipped) - MOST_NAMED} more")
    if csv_file is not None:
        write_duplicates_csv(groups, csv_file, force)
    if as_json:
        _print_json(groups)
    else:
        _print_table(groups, location)


def _print_json(groups: list[DuplicateGroup[Path]]) -> None:
    from clapgen.library.duplicates import groups_as_rows

    for group in groups:
        first, *members = groups_as_rows([group])
        kept = ("path", "of", "exact", "score", "offset_seconds", "common_seconds")
        print_json({"path": first["path"], "members": [{key: row[key] for key in kept} for row in members]})


def _print_table(groups: list[DuplicateGroup[Path]], location: str) -> None:
    from clapgen.library.duplicates import groups_as_rows

    if not groups:
        print_result(f"{location} has no duplicates")
        return
    rows, of_group = [], {group.key: number for number, group in enumerate(groups, 1)}
    for row in groups_as_rows(groups):
        how = "" if row["of"] is None else "exact copy" if row["exact"] else f"score {row['score']:.0f}"
        at = f"{row['offset_seconds']:+.2f} s" if row["offset_seconds"] else ""
        other = row["of"] if row["of"] and Path(row["of"]) not in of_group else ""
        rows.append((str(row["group"]), how, at, row["path"], other))
    print_table(("group", "match", "starts at", "path", "of"), rows)
    extra = sum(len(group.members) for group in groups)
    print_result(f"recordings that {location} holds more than once: {len(groups):,}; duplicates: {extra:,}")
