"""Keeping a library up to date with its folders: they are looked through again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from clapgen.errors import ClapgenError
from clapgen.library.adding import AddReport
from clapgen.library.library import Library
from clapgen.library.sources import find_sources

if TYPE_CHECKING:
    from clapgen.embedders.store import Store as Cache


def watch_library(
    library: Library, cache: Cache | None = None, every: float = 30.0, sleep: Callable[[float], None] = time.sleep
) -> Iterator[AddReport | str]:
    """Add what is new in the library's folders, again and again, without end.

    The folders are listed each time: notifications of changes do not cross network shares. A folder that is away, such
    as a disk that is not connected, is left alone: its sounds do not vanish.

    Args:
        every: seconds between the end of one look and the next.

    Yields:
        What was done, if anything was; or, once, why nothing can be done at the moment.
    """
    told: set[Path] = set()
    problem = ""
    while True:
        try:
            report = library.add(find_sources([folder for folder in library.folders if folder.is_dir()]), cache)
            problem = ""
        except ClapgenError as error:  # such as another process that writes, or a folder that has no sounds now
            if str(error) != problem:
                yield str(error)
            problem = str(error)
        else:
            report.skipped = [(path, reason) for path, reason in report.skipped if path not in told]
            told |= {path for path, _ in report.skipped}
            report.vanished = [path for path in report.vanished if path not in told]
            told |= set(report.vanished)
            report.remarks = []
            if report.added or report.changed or report.described or report.moved or report.vanished or report.skipped:
                yield report
        sleep(every)
