"""What to look for: sentences from the command line or a file, checked and each once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from clapgen.data.text import clean_prompt, label_key, read_lines
from clapgen.errors import ClapgenError

logger = logging.getLogger(__name__)

MOST_QUERIES = 10_000


def check_queries(queries: Sequence[str]) -> list[str]:
    """The queries with spaces collapsed, each once; one that comes again is dropped with a warning.

    Raises:
        ClapgenError: no query, or one that is empty, too long or no text.
    """
    if isinstance(queries, str):
        raise TypeError("queries are a list of texts")
    distinct: dict[str, str] = {}
    repeated: dict[str, None] = {}
    for query in queries:
        cleaned = clean_prompt(query, "a query")
        if distinct.setdefault(label_key(cleaned), cleaned) is not cleaned:
            repeated[cleaned] = None
    if not distinct:
        raise ClapgenError("nothing to look for; give a query, e.g. 'dog bark'.")
    if len(distinct) > MOST_QUERIES:
        raise ClapgenError(f"{len(distinct):,} queries are too many; give at most {MOST_QUERIES:,} at once.")
    if repeated:
        names = ", ".join(f"'{query[:60]}'" for query in list(repeated)[:5])
        logger.warning("given more than once, and used once: %s%s", names, ", …" if len(repeated) > 5 else "")
    return list(distinct.values())


def read_queries(path: str | Path) -> list[str]:
    """The queries of a text file, one per line; empty lines are skipped.

    Raises:
        ClapgenError: the file cannot be read, is not UTF-8, or has no queries.
    """
    queries = [line for line in read_lines(path) if line.strip()]
    if not queries:
        raise ClapgenError(f"{path} has no queries; write one per line.")
    return queries
