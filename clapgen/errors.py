"""Errors that a user can mend: one sentence on what is wrong, one on what to do."""

import difflib
import importlib.util
from collections.abc import Iterable
from pathlib import Path


class ClapgenError(Exception):
    """Something the user gave cannot be used; the message names it and says how to mend it."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the choice most like `name`, or `""` when none is close."""
    matches = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f" Did you mean {matches[0]!r}?" if matches else ""


SIBLINGS = ("generation", "captioning", "pretrain")  # clapgen's other top-level packages, all with common names


def refuse_shadowing(module: str) -> None:
    """Raise `ClapgenError` if a file of the user hides the clapgen package that `module` belongs to.

    A `generation.py` in the current folder comes before clapgen's `generation` package on Python's path.
    """
    package = module.partition(".")[0]
    if package not in SIBLINGS:
        return
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return
    found = Path(spec.origin) if spec is not None and spec.origin else None
    if found is not None and found.parent.parent != Path(__file__).parent.parent:
        raise ClapgenError(
            f"{found} hides clapgen's own package '{package}'; rename it, or run clapgen from another folder."
        )
