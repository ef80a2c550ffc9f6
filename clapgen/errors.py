"""Errors that a user can mend: one sentence on what is wrong, one on what to do."""

import difflib
from collections.abc import Iterable


class ClapgenError(Exception):
    """Something the user gave cannot be used; the message names it and says how to mend it."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the choice most like `name`, or `""` when none is close."""
    matches = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f" Did you mean {matches[0]!r}?" if matches else ""
