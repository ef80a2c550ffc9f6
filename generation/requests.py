"""What is to be generated: one request per sound, from arguments, prompt files and sidecars, checked before any model
is loaded. Imports no torch."""

from __future__ import annotations

import dataclasses
import json
import numbers
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clapgen.data.text import clean_prompt
from clapgen.errors import ClapgenError, nearest
from generation.diffusion.samplers import SAMPLERS
from generation.edits import Edit, checked_edit
from generation.ingredients import Ingredient, checked_ingredients
from generation.retrieval import Neighbour, checked_neighbours

DEFAULT_PEAK = -1.0  # dBFS; as in clapgen.audio.mastering, which would import numpy here


@dataclass(frozen=True)
class GenerationRequest:
    """One sound to generate. Every field decides how it sounds, except `name`, the stem of its file, and
    `original_prompt`, what the user typed if `prompt` was edited.

    The fields and their defaults are those of `TextToAudio.generate`; the ranges are in `RANGES`. Of `peak` (dBFS),
    `loudness` (LUFS) and `level` ("as-is") one is set: a peak of -1 dBFS if none is given.
    """

    prompt: str
    negative_prompt: str | None = None
    seconds: float = 10.0
    num_steps: int = 25
    guidance_scale: float = 3.0
    sampler: str = "multistep"
    time_shift: float = 1.0
    seed: int = 0
    candidates: int = 1
    peak: float | None = None
    loudness: float | None = None
    level: str | None = None
    neighbours: tuple[Neighbour, ...] = ()
    neighbour_scale: float = 1.5
    neighbour_strength: float = 1.0
    neighbour_blend: float = 0.0
    edit: Edit | None = None
    mix: tuple[Ingredient, ...] = ()
    without: tuple[Ingredient, ...] = ()
    name: str | None = None
    original_prompt: str | None = None

    def __post_init__(self) -> None:
        if self.peak is self.loudness is self.level is None:
            object.__setattr__(self, "peak", DEFAULT_PEAK)

    def settings(self) -> dict[str, Any]:
        """What decides the sound next to `prompt`, as keyword arguments of `generate`."""
        settings = dataclasses.asdict(self)
        del settings["prompt"], settings["name"], settings["original_prompt"]
        settings |= {key: list(settings[key]) for key in ("neighbours", "mix", "without")}  # as JSON has them
        if self.edit is not None:
            settings["edit"]["regions"] = [list(region) for region in self.edit.regions]
        return settings


@dataclass(frozen=True)
class Range:
    """Allowed numbers from `low` to `high`, both included; whole numbers if `low` is an int."""

    low: float
    high: float

    def checked(self, value: Any, label: str) -> float:
        """`value` as an int or float; 3.0 is a whole number.

        Raises:
            ClapgenError: starting with `label`, if it is out of range or no number.
        """
        whole = isinstance(self.low, int)
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if is_number and whole and not isinstance(value, numbers.Integral):
            is_number = float(value).is_integer()
        if not is_number or not self.low <= value <= self.high:
            kind = "a whole number" if whole else "a number"
            raise ClapgenError(f"{label} must be {kind} from {self}, not {_shown(value)}.")
        return int(value) if whole else float(value)

    def __str__(self) -> str:
        return " to ".join(str(end) if isinstance(end, int) else f"{end:g}" for end in (self.low, self.high))


DEFAULTS = GenerationRequest("")
KEYS = [field.name for field in dataclasses.fields(GenerationRequest)]
SEEDS = 2**64
RANDOM_SEED = -1  # stands for a seed drawn at random
RANGES = {
    "seconds": Range(0.5, 30.0),
    "num_steps": Range(1, 200),
    "guidance_scale": Range(0.0, 20.0),
    "time_shift": Range(0.1, 10.0),
    "seed": Range(RANDOM_SEED, SEEDS - 1),
    "candidates": Range(1, 64),
    "peak": Range(-60.0, 0.0),
    "loudness": Range(-70.0, 0.0),
    "neighbour_scale": Range(0.0, 20.0),
    "neighbour_strength": Range(0.05, 1.0),
    "neighbour_blend": Range(0.0, 1.0),
}
LEVELS = ("as-is",)
LEVEL_KEYS = ("peak", "loudness", "level")  # one of them is set
EARLIER_KEYS = {"steps": "num_steps", "guidance": "guidance_scale", "negative": "negative_prompt"}  # still read
DTYPES = ("bfloat16", "float32")  # of the diffusion network; by default the first where it is fast


def requests_from_arguments(prompts: Sequence[str], settings: Mapping[str, Any]) -> list[GenerationRequest]:
    """One request per prompt of the command line; `settings` holds the options that were given."""
    return [checked_request({**settings, "prompt": prompt}) for prompt in prompts]


def with_seeds(requests: Sequence[GenerationRequest], count: int) -> list[GenerationRequest]:
    """Each request `count` times, with seeds that follow each other; candidates have seeds of their own."""
    return [
        dataclasses.replace(request, seed=(request.seed + number * request.candidates) % SEEDS)
        for request in requests
        for number in range(count)
    ]


def repeated(requests: Sequence[GenerationRequest]) -> dict[GenerationRequest, int]:
    """Requests that are there more than once, and how often: equal requests give one sound."""
    return {request: count for request, count in Counter(requests).items() if count > 1}


def with_current_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings under their current names: earlier versions wrote `steps`, `guidance` and `negative`."""
    return {EARLIER_KEYS.get(key, key): value for key, value in values.items()}


def overridden(settings: Mapping[str, Any], by: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with those in `by` put over them; a loudness also replaces a peak, as only one of them can be set."""
    sets_level = any(by.get(key) is not None for key in LEVEL_KEYS)
    return {key: value for key, value in settings.items() if not (sets_level and key in LEVEL_KEYS)} | dict(by)


def checked_request(values: Mapping[str, Any], where: str = "") -> GenerationRequest:
    """Build a request. ClapgenError names the setting (as an option when `where` is empty) and its valid values."""
    checked: dict[str, Any] = {"prompt": clean_prompt(values.get("prompt"), f"{where}the prompt")}
    for key, value in values.items():
        if key not in KEYS:
            raise ClapgenError(f"{where}unknown key '{key}'.{nearest(key, KEYS)} Known: {', '.join(KEYS)}.")
        if key != "prompt":
            checked[key] = checked_setting(key, value, f"{where}'{key}'" if where else f"--{key.replace('_', '-')}")
    check_level(checked, where)
    return GenerationRequest(**checked)


def check_level(settings: Mapping[str, Any], where: str = "") -> None:
    """ClapgenError if more than one of peak, loudness and level is set."""
    given = [key for key in LEVEL_KEYS if settings.get(key) is not None]
    if len(given) > 1:
        raise ClapgenError(f"{where}{' and '.join(given)} exclude each other; choose one.")


def checked_setting(key: str, value: Any, label: str) -> Any:
    """The value of one setting, in its proper type; a seed of -1 is replaced by a random one.

    Raises:
        ClapgenError: starting with `label`, if the value is not valid.
    """
    if key in LEVEL_KEYS and value is None:
        return None
    if key == "seed":
        seed = int(RANGES[key].checked(value, label))
        return secrets.randbelow(2**32) if seed == RANDOM_SEED else seed
    if key in RANGES:
        return RANGES[key].checked(value, label)
    if key == "edit":
        return None if value is None else checked_edit(value, label)
    if key in ("mix", "without"):
        return checked_ingredients(value, label)
    if key == "neighbours":
        return checked_neighbours(value, label)
    if key in ("sampler", "level"):
        choices = SAMPLERS.names() if key == "sampler" else LEVELS
        if not isinstance(value, str) or value not in choices:
            hint = nearest(str(value), choices)
            raise ClapgenError(f"{label} must be one of {', '.join(choices)}, not {_shown(value)}.{hint}")
        return value
    return None if value in (None, "") else clean_prompt(value, label)


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
