"""What is to be generated: one request per sound, from arguments, prompt files and sidecars, checked before any model
is loaded. Imports no torch."""

from __future__ import annotations

import dataclasses
import json
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clapgen.data.text import clean_prompt, json_lines, read_lines, read_text
from clapgen.errors import ClapgenError, nearest
from generation.diffusion.samplers import SAMPLERS


@dataclass(frozen=True)
class GenerationRequest:
    """One sound to generate. Every field decides how it sounds, except `name`, the stem of its file.

    The fields and their defaults are those of `TextToAudio.generate`; the ranges are in `RANGES`.
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
    name: str | None = None

    def settings(self) -> dict[str, Any]:
        """Everything but `prompt` and `name`, as keyword arguments of `generate`."""
        settings = dataclasses.asdict(self)
        del settings["prompt"], settings["name"]
        return settings


@dataclass(frozen=True)
class Range:
    """Allowed numbers from `low` to `high`, both included; whole numbers if `low` is an int."""

    low: float
    high: float

    def checked(self, value: Any, label: str) -> float:
        """`value` as an int or float. `ClapgenError`, starting with `label`, if it is out of range or no number."""
        whole = isinstance(self.low, int)
        right_type = isinstance(value, numbers.Integral if whole else numbers.Real) and not isinstance(value, bool)
        if not right_type or not self.low <= value <= self.high:
            kind = "a whole number" if whole else "a number"
            raise ClapgenError(f"{label} must be {kind} from {self}, not {_shown(value)}.")
        return int(value) if whole else float(value)

    def __str__(self) -> str:
        return " to ".join(str(end) if isinstance(end, int) else f"{end:g}" for end in (self.low, self.high))


DEFAULTS = GenerationRequest("")
KEYS = [field.name for field in dataclasses.fields(GenerationRequest)]
RANGES = {
    "seconds": Range(0.5, 30.0),
    "num_steps": Range(1, 200),
    "guidance_scale": Range(0.0, 20.0),
    "time_shift": Range(0.1, 10.0),
    "seed": Range(0, 2**63 - 1),
    "candidates": Range(1, 64),
}
EARLIER_KEYS = {"steps": "num_steps", "guidance": "guidance_scale", "negative": "negative_prompt"}  # still read
DTYPES = ("bfloat16", "float32")  # of the diffusion network; the first is the default


def requests_from_arguments(prompts: Sequence[str], settings: Mapping[str, Any]) -> list[GenerationRequest]:
    """One request per prompt of the command line; `settings` holds the options that were given."""
    return [checked_request({**settings, "prompt": prompt}) for prompt in prompts]


def requests_from_file(path: Path, settings: Mapping[str, Any]) -> list[GenerationRequest]:
    """Requests of a prompt file: .txt, a prompt per line; .jsonl, an object per line with `prompt` and settings.

    Settings on a line take precedence over `settings`. ClapgenError names the file, the line and the problem.
    """
    if path.suffix.lower() == ".jsonl":
        rows = json_lines(path)
    else:
        lines = enumerate(read_lines(path), start=1)
        rows = ((f"{path}:{number}", {"prompt": line}) for number, line in lines if line.strip())
    requests = []
    for where, values in rows:
        current = with_current_keys(values)
        if len(current) < len(values):
            both = next(f"'{old}' and '{new}'" for old, new in EARLIER_KEYS.items() if old in values and new in values)
            raise ClapgenError(f"{where}: {both} are the same setting; give the latter only.")
        requests.append(checked_request({**settings, **current}, f"{where}: "))
    if not requests:
        raise ClapgenError(f"{path} contains no prompt; put one on each line.")
    return requests


def request_from_sidecar(path: Path, settings: Mapping[str, Any]) -> tuple[GenerationRequest, dict[str, Any]]:
    """The request that generated a sound, from its sidecar (or the sound file next to it), and the sidecar itself.

    `settings` take precedence over the sidecar's.
    """
    if path.suffix.lower() != ".json" and path.with_suffix(".json").exists():
        path = path.with_suffix(".json")
    try:
        sidecar = json.loads(read_text(path))
    except ValueError as error:
        raise ClapgenError(f"{path} is not a sidecar of clapgen: invalid JSON ({error}).") from error
    if not isinstance(sidecar, dict) or not {"prompt", "seed", "model", "sha256"} <= sidecar.keys():
        raise ClapgenError(f"{path} is not a sidecar of clapgen; give the .json file next to a generated sound.")
    sidecar = with_current_keys(sidecar)
    recorded = {key: sidecar[key] for key in KEYS if key in sidecar}
    return checked_request({**recorded, **settings}, f"{path}: "), sidecar


def with_current_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings under their current names: earlier versions wrote `steps`, `guidance` and `negative`."""
    return {EARLIER_KEYS.get(key, key): value for key, value in values.items()}


def checked_request(values: Mapping[str, Any], where: str = "") -> GenerationRequest:
    """Build a request. ClapgenError names the setting (as an option when `where` is empty) and its valid values."""
    checked: dict[str, Any] = {"prompt": clean_prompt(values.get("prompt"), f"{where}the prompt")}
    for key, value in values.items():
        if key not in KEYS:
            raise ClapgenError(f"{where}unknown key '{key}'.{nearest(key, KEYS)} Known: {', '.join(KEYS)}.")
        if key != "prompt":
            checked[key] = checked_setting(key, value, f"{where}'{key}'" if where else f"--{key.replace('_', '-')}")
    return GenerationRequest(**checked)


def checked_setting(key: str, value: Any, label: str) -> Any:
    """The value of one setting, in its proper type. ClapgenError, starting with `label`, if it is not valid."""
    if key in RANGES:
        return RANGES[key].checked(value, label)
    if key == "sampler":
        if not isinstance(value, str) or value not in SAMPLERS:
            hint = nearest(str(value), SAMPLERS)
            raise ClapgenError(f"{label} must be one of {', '.join(SAMPLERS)}, not {_shown(value)}.{hint}")
        return value
    return None if value in (None, "") else clean_prompt(value, label)


def _shown(value: Any) -> str:
    try:
        return json.dumps(value)
    except TypeError:
        return repr(value)
