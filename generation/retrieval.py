"""Sounds of a library that are near to a prompt, and help to generate it (after Re-AudioLDM, Yuan et al. 2023).

Imports no torch; `generation.helped` reads the sounds.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clapgen.errors import ClapgenError

if TYPE_CHECKING:
    from clapgen.library import Hit, Library


@dataclass(frozen=True)
class Neighbour:
    """A sound that was found for a prompt, as sidecars record it: where it was, its sha256, its cosine with the prompt,
    its caption if it has one, and the seconds from `start` to `end` if it is a part of a longer file."""

    path: str
    sha256: str
    cosine: float
    caption: str = ""
    start: float = 0.0
    end: float | None = None


def find_neighbours(library: Library, prompt: str, k: int) -> tuple[Neighbour, ...]:
    """The `k` sounds of a library that are nearest to a prompt.

    Raises:
        ClapgenError: the library is empty, has fewer sounds than `k`, or was made with another CLAP.
    """
    return tuple(_from_hit(hit) for hit in library.search(text=prompt, k=k))


def _from_hit(hit: Hit) -> Neighbour:
    caption = hit.about.captions[0] if hit.about.captions else ""
    span = {"start": hit.moments[0].start, "end": hit.moments[0].end} if hit.moments else {}
    return Neighbour(os.fspath(hit.path), hit.sound.file.digest, round(hit.score, 6), caption, **span)


def checked_neighbours(values: Any, label: str) -> tuple[Neighbour, ...]:
    """Neighbours out of the values that a sidecar holds.

    Raises:
        ClapgenError: starting with `label`, if they are something else.
    """
    if not isinstance(values, Sequence) or isinstance(values, str):
        values = [None]
    return tuple(value if isinstance(value, Neighbour) else _checked(value, label) for value in values)


def _checked(value: Any, label: str) -> Neighbour:
    kinds = {field.name: str(field.type) for field in dataclasses.fields(Neighbour)}
    if (
        not isinstance(value, Mapping)
        or not {"path", "sha256", "cosine"} <= value.keys() <= kinds.keys()
        or not all(_fits(each, kinds[name]) for name, each in value.items())
    ):
        raise ClapgenError(f"{label} must be a list of objects with path, sha256 and cosine.")
    return Neighbour(**value)


def _fits(value: Any, kind: str) -> bool:
    if kind == "str":
        return isinstance(value, str)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number or (value is None and "None" in kind)
