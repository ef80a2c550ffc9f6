"""What is to be generated: settings from arguments, prompt files and sidecars, checked before any model is loaded."""

from __future__ import annotations

import dataclasses
import io
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clapgen.data.text import read_text
from clapgen.errors import ClapgenError, nearest

LONGEST_PROMPT = 1000
RANGES: dict[str, tuple[float, float]] = {
    "seconds": (0.5, 30),
    "steps": (1, 200),
    "guidance": (0, 20),
    "candidates": (1, 64),
    "seed": (0, 2**63 - 1),
}


@dataclass(frozen=True)
class ClipRequest:
    """One clip to make. Everything here decides how it sounds, except `name`, the stem of its file."""

    prompt: str
    negative: str | None = None
    seconds: float = 10.0
    steps: int = 25
    guidance: float = 3.0
    seed: int = 0
    candidates: int = 1
    name: str | None = None


DEFAULTS = ClipRequest("")
KEYS = [field.name for field in dataclasses.fields(ClipRequest)]


def requests_from_arguments(prompts: Sequence[str], settings: Mapping[str, Any]) -> list[ClipRequest]:
    """One request per prompt of the command line; `settings` holds the options that were given."""
    return [checked_request({**settings, "prompt": prompt}) for prompt in prompts]


def requests_from_file(path: Path, settings: Mapping[str, Any]) -> list[ClipRequest]:
    """Requests of a prompt file: .txt, a prompt per line; .jsonl, an object per line with `prompt` and settings.

    Settings on a line win over `settings`. ClapgenError names file and line of what is wrong.
    """
    requests = []
    for number, line in enumerate(text_of(path).split("\n"), start=1):
        if line.strip():
            where = f"{path}:{number}: "
            values = _json_line(line, where) if path.suffix.lower() == ".jsonl" else {"prompt": line}
            requests.append(checked_request({**settings, **values}, where))
    if not requests:
        raise ClapgenError(f"{path} holds no prompt; put one on each line.")
    return requests


def request_from_sidecar(path: Path, settings: Mapping[str, Any]) -> tuple[ClipRequest, dict[str, Any]]:
    """The request that made a clip, from its sidecar (or the sound file beside it), and the sidecar itself.

    Settings given on the command line win over the sidecar's.
    """
    if path.suffix.lower() != ".json" and path.with_suffix(".json").exists():
        path = path.with_suffix(".json")
    try:
        sidecar = json.loads(text_of(path))
    except ValueError as error:
        raise ClapgenError(f"{path} is not a sidecar of clapgen: it is not JSON ({error}).") from error
    if not isinstance(sidecar, dict) or not {"prompt", "seed", "model", "sha256"} <= sidecar.keys():
        raise ClapgenError(f"{path} is not a sidecar of clapgen; give the .json that stands beside a generated sound.")
    recorded = {key: sidecar[key] for key in KEYS if key in sidecar}
    return checked_request({**recorded, **settings}, f"{path}: "), sidecar


def checked_request(values: Mapping[str, Any], where: str = "") -> ClipRequest:
    """Build a request; ClapgenError names the key (as an option when `where` is empty) and what it must be."""
    for key in values:
        if key not in KEYS:
            raise ClapgenError(f"{where}unknown key '{key}'.{nearest(key, KEYS)} Known: {', '.join(KEYS)}.")
    checked: dict[str, Any] = {"prompt": clean_prompt(values.get("prompt"), f"{where}the prompt")}
    for key, value in values.items():
        label = f"{where}'{key}'" if where else f"--{key}"
        if key in RANGES:
            checked[key] = _checked_number(key, value, label)
        elif key in ("negative", "name") and value is not None and value != "":
            checked[key] = clean_prompt(value, label)
    return ClipRequest(**checked)


def clean_prompt(prompt: Any, label: str) -> str:
    """Collapse line breaks and runs of spaces; ClapgenError for empty, overlong or binary text."""
    if not isinstance(prompt, str):
        raise ClapgenError(f"{label} must be text, not {'missing' if prompt is None else json.dumps(prompt)}.")
    for position, character in enumerate(prompt):
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\r\t":
            raise ClapgenError(
                f"{label} has the control character U+{ord(character):04X} at position {position}; take it out."
            )
    cleaned = " ".join(prompt.split())
    if not cleaned:
        raise ClapgenError(f"{label} is empty; describe a sound, e.g. 'rain on a tin roof'.")
    if len(cleaned) > LONGEST_PROMPT:
        raise ClapgenError(f"{label} has {len(cleaned):,} characters; at most {LONGEST_PROMPT:,} are understood.")
    return cleaned


def _checked_number(key: str, value: Any, label: str) -> float | int:
    low, high = RANGES[key]
    whole = isinstance(getattr(DEFAULTS, key), int)
    kind = "a whole number" if whole else "a number"
    right_type = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not right_type or not low <= value <= high:
        raise ClapgenError(f"{label} must be {kind} from {low:g} to {_plain(high)}, not {json.dumps(value)}.")
    return value if whole else float(value)


def _plain(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


def _json_line(line: str, where: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise ClapgenError(f"{where}not JSON: {error}.") from error
    if not isinstance(values, dict):
        raise ClapgenError(f'{where}must be an object such as {{"prompt": "rain", "seed": 1}}.')
    return values


def text_of(path: Path) -> str:
    """`read_text`, with every kind of line end as a line feed."""
    return io.StringIO(read_text(path), newline=None).read()
