"""What a sound is to be like, or unlike: texts and sounds with weights. Imports no torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clapgen.data.text import clean_prompt
from clapgen.errors import ClapgenError
from generation.sources import sha256_of

LARGEST_WEIGHT = 100.0


@dataclass(frozen=True)
class Ingredient:
    """A text, or the sound in a file whose content has this sha256, and its weight, above 0."""

    weight: float = 1.0
    text: str = ""
    path: str = ""
    sha256: str = ""

    @property
    def name(self) -> str:
        """The text, or the name of the file without suffix."""
        return self.text or Path(self.path).stem


def ingredient_of(given: str, option: str) -> Ingredient:
    """TEXT, FILE, TEXT:WEIGHT or FILE:WEIGHT of the command line.

    What is not an existing file is a text, unless it looks like the name of a sound file.

    Raises:
        ClapgenError: naming the option, if the weight is not above 0, there is no text, or a file is missing.
    """
    what, colon, weight = given.rpartition(":")
    try:
        number = float(weight)
    except ValueError:
        number, colon = 1.0, ""
    if not colon:
        what, number = given, 1.0
    return (
        sound_ingredient(what, option, number)
        if looks_like_file(what)
        else in_range(Ingredient(number, text=clean_prompt(what, option)), option)
    )


def sound_ingredient(path: str | Path, option: str, weight: float = 1.0) -> Ingredient:
    """The sound in a file; errors as in `ingredient_of`."""
    file = Path(path)
    if not file.is_file():
        raise ClapgenError(f"{option}: {file} is not a file.")
    return in_range(Ingredient(weight, path=str(file.resolve()), sha256=sha256_of(file)), option)


def looks_like_file(what: str) -> bool:
    """Whether this is an existing file, or has the suffix of a sound."""
    from clapgen.audio.finding import AUDIO_SUFFIXES

    try:
        exists = Path(what).is_file()
    except (OSError, ValueError):  # a text too long for a name, or with a null character
        return False
    return exists or Path(what).suffix.lower() in AUDIO_SUFFIXES


def in_range(ingredient: Ingredient, label: str) -> Ingredient:
    """The ingredient; ClapgenError, starting with `label`, if its weight is out of range."""
    if not (math.isfinite(ingredient.weight) and 0 < ingredient.weight <= LARGEST_WEIGHT):
        raise ClapgenError(f"{label}: a weight must be above 0, at most {LARGEST_WEIGHT:g}, not {ingredient.weight:g}.")
    return ingredient


def checked_ingredients(values: Any, label: str) -> tuple[Ingredient, ...]:
    """Ingredients out of the values that a sidecar holds.

    Raises:
        ClapgenError: starting with `label`, if they are something else.
    """
    wrong = ClapgenError(f"{label} must be a list of objects with a weight, and a text or a path with its sha256.")
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise wrong
    found = []
    names = {field.name for field in dataclasses.fields(Ingredient)}
    for value in values:
        if isinstance(value, Ingredient):
            value = dataclasses.asdict(value)
        if not isinstance(value, Mapping) or not value.keys() <= names:
            raise wrong
        texts = {name: value.get(name, "") for name in ("text", "path", "sha256")}
        weight = value.get("weight", 1.0)
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not is_number or not all(isinstance(each, str) for each in texts.values()):
            raise wrong
        if bool(texts["text"]) == bool(texts["path"]):
            raise wrong
        found.append(in_range(Ingredient(float(weight), **texts), label))
    return tuple(found)
