"""How captions are decoded, and the allowed range of every setting. Imports no torch, so commands can check early."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from clapgen.errors import ClapgenError, nearest

METHODS = ("beam", "greedy", "nucleus")


@dataclass
class Decoding:
    """Decoding settings, with the meaning they have in transformers' `generate`.

    `method` is beam, greedy or nucleus. Beam search keeps `beams` partial captions; a `length_penalty` above 0 favours
    longer ones. No sequence of `no_repeat_ngram` tokens occurs twice (0: unrestricted). Nucleus sampling draws from the
    most likely tokens that make up `top_p` at `temperature`, with `seed`.
    """

    method: str = "beam"
    beams: int = 4
    length_penalty: float = 1.0
    no_repeat_ngram: int = 3
    top_p: float = 0.9
    temperature: float = 1.0
    min_tokens: int = 2
    max_tokens: int = 40
    seed: int = 0


def check_decoding(decoding: Decoding, candidates: int = 1, name_of: Callable[[str], str] = str) -> None:
    """Raise ClapgenError if a setting is unknown or out of range; `name_of` turns a field's name into the caller's."""
    if decoding.method not in METHODS:
        raise ClapgenError(
            f"{name_of('method')} must be one of {', '.join(METHODS)}, not '{decoding.method}'."
            f"{nearest(decoding.method, METHODS)}"
        )
    if candidates < 1:
        raise ClapgenError(f"{name_of('candidates')} must be at least 1, not {candidates}.")
    if candidates > 1 and decoding.method == "greedy":
        raise ClapgenError(
            f"greedy decoding returns one caption; use beam or nucleus with {name_of('candidates')} > 1."
        )
    for name, lowest in (("beams", 1), ("max_tokens", 1), ("min_tokens", 1), ("no_repeat_ngram", 0)):
        if getattr(decoding, name) < lowest:
            raise ClapgenError(f"{name_of(name)} must be at least {lowest}, not {getattr(decoding, name)}.")
    if decoding.min_tokens > decoding.max_tokens:
        raise ClapgenError(
            f"{name_of('min_tokens')}={decoding.min_tokens} must be at most {name_of('max_tokens')}="
            f"{decoding.max_tokens}."
        )
    if not math.isfinite(decoding.length_penalty):
        raise ClapgenError(f"{name_of('length_penalty')} must be a finite number, not {decoding.length_penalty}.")
    if not 0 < decoding.top_p <= 1:
        raise ClapgenError(f"{name_of('top_p')} must be above 0 and at most 1, not {decoding.top_p:g}.")
    if not 0 < decoding.temperature < math.inf:
        raise ClapgenError(f"{name_of('temperature')} must be above 0 and finite, not {decoding.temperature:g}.")
