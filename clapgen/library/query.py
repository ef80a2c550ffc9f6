"""What is searched for: texts and sounds that count for or against, joined into one vector."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clapgen.data.text import clean_prompt
from clapgen.errors import ClapgenError

Vector = npt.NDArray[np.float32]
Texts = str | Sequence[str] | None
Sounds = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None

WITHOUT_WEIGHT = 0.5  # of what is subtracted, where what is searched for has 1


@dataclass(frozen=True)
class Query:
    """What a search is given.

    Attributes:
        texts, sounds: what to find; several are added.
        without_texts, without_sounds: what to avoid; it is subtracted.
        weight: of the texts against the sounds, 0 to 1, if there are both.
    """

    texts: tuple[str, ...] = ()
    sounds: tuple[Path, ...] = ()
    without_texts: tuple[str, ...] = ()
    without_sounds: tuple[Path, ...] = ()
    weight: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ClapgenError(f"the weight of the text must be between 0 and 1, not {self.weight:g}.")
        if not (self.texts or self.sounds):
            raise ClapgenError("nothing to search for; give a text or a sound.")

    @property
    def all_sounds(self) -> tuple[Path, ...]:
        """All sound files that are named."""
        return self.sounds + self.without_sounds


def make_query(text: Texts = None, like: Sounds = None, without: Sounds = None, weight: float = 0.5) -> Query:
    """Sort out what was given: in `without`, what names an existing file is a sound, and anything else a text.

    Raises:
        ClapgenError: nothing to search for, an empty text, a weight outside 0 to 1.
    """
    avoided = [str(one) for one in _several(without)]
    files = [one for one in avoided if is_file(one)]
    return Query(
        tuple(clean_prompt(one, "the text to search for") for one in _several(text)),
        tuple(Path(one) for one in _several(like)),
        tuple(clean_prompt(one, "the text to avoid") for one in avoided if one not in files),
        tuple(map(Path, files)),
        weight,
    )


def is_file(text: str) -> bool:
    """Whether a text is the path of a file."""
    try:
        return os.path.isfile(text)
    except ValueError:
        return False


def query_vector(
    query: Query,
    embed_texts: Callable[[Sequence[str]], Vector],
    embed_sound: Callable[[Path], Vector],
    spread: Callable[[Vector], float],
) -> Vector:
    """One vector (dim,) of length 1 whose cosines rank sounds by a query.

    In a CLAP space the cosines of sounds with a text are smaller, and differ less, than those with a sound. Terms of a
    query that has both, or that subtracts, are therefore divided by the spread of their cosines in the library, so that
    each has an effect according to its weight. A query of one text is its embedding.

    Args:
        embed_texts: embeddings (n, dim) of length 1.
        embed_sound: embedding (dim,) of length 1.
        spread: the standard deviation of the cosines of the library's sounds with a vector.
    """
    both = bool(query.texts and query.sounds)
    parts: list[tuple[float, Vector]] = []
    for texts, sounds, sign in (
        (query.texts, query.sounds, 1.0),
        (query.without_texts, query.without_sounds, -WITHOUT_WEIGHT),
    ):
        if texts:
            parts.append((sign * (query.weight if both and sign > 0 else 1), _mean(embed_texts(texts))))
        if sounds:
            vectors = np.stack([embed_sound(path) for path in sounds])
            parts.append((sign * (1 - query.weight if both and sign > 0 else 1), _mean(vectors)))
    if len(parts) == 1:
        return parts[0][1]
    total = sum(weight / max(spread(vector), 1e-6) * vector for weight, vector in parts)
    length = float(np.linalg.norm(total))
    if length < 1e-6:
        raise ClapgenError("the query cancels itself: what is to be found is the same as what is to be avoided.")
    return np.asarray(total / length, dtype=np.float32)


def _mean(vectors: Vector) -> Vector:
    mean = vectors.mean(0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), dtype=np.float32)


def _several(given: Sounds) -> list[str | os.PathLike[str]]:
    if given is None:
        return []
    return [given] if isinstance(given, str | os.PathLike) else list(given)
