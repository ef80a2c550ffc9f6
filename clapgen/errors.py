"""Errors that users can fix: what is wrong, and what to do about it."""

import difflib
import importlib.util
from collections.abc import Iterable
from pathlib import Path


class ClapgenError(Exception):
    """The user's input cannot be used; the one-line message says what is wrong and how to fix it."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the choice closest to `name`, or `""` if none is close."""
    matches = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f" Did you mean {matches[0]!r}?" if matches else ""


SIBLINGS = ("generation", "captioning", "pretrain")  # clapgen's other top-level packages; users may have such files


def refuse_shadowing(module: str) -> None:
    """Raise `ClapgenError` if a file of the user hides the clapgen package that contains `module`.

    For example, Python finds a `generation.py` in the current folder before clapgen's package `generation`.
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
