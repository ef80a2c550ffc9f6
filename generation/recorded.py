"""The settings of a generated sound, read back from its sidecar or from the sound file itself, which nobody vouches
for: every value is checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clapgen.data.text import parse_json, read_text, shown
from clapgen.errors import ClapgenError
from generation.destinations import FILE_RANGES
from generation.requests import KEYS, GenerationRequest, checked_request, overridden, with_current_keys
from generation.sidecars import sha256_of

_TEXTS = ("format", "file", "dtype", "sha256", "device", "cpu")
_REQUIRED = ("prompt", "seed", "model")


def request_from_sidecar(path: Path, settings: Mapping[str, Any]) -> tuple[GenerationRequest, dict[str, Any]]:
    """The request that generated a sound, and its sidecar: the .json file, also if `path` is the sound next to it.

    Without a .json the settings inside the sound file are used. `settings` take precedence over those of the sidecar.

    Raises:
        ClapgenError: there are no settings, or a value in them is wrong.
    """
    if path.suffix.lower() != ".json" and path.with_suffix(".json").exists():
        path = path.with_suffix(".json")
    sidecar = _sidecar_file(path) if path.suffix.lower() == ".json" else _settings_inside(path)
    recorded = {key: sidecar[key] for key in KEYS if sidecar.get(key) is not None}  # null: of no use to its model
    return checked_request(overridden(recorded, settings), f"{path}: "), sidecar


def _sidecar_file(path: Path) -> dict[str, Any]:
    sidecar = parse_json(read_text(path), f"{path} is not a sidecar of clapgen")
    if not isinstance(sidecar, dict) or not {*_REQUIRED, "sha256"} <= sidecar.keys():
        raise ClapgenError(f"{path} is not a sidecar of clapgen; give the .json file next to a generated sound.")
    return _checked(sidecar, path)


def _settings_inside(path: Path) -> dict[str, Any]:
    from clapgen.audio import read_comment

    try:
        comment = read_comment(path)
    except ClapgenError as error:
        raise ClapgenError(f"{path} is not a sidecar of clapgen, nor a sound with settings inside: {error}") from error
    sidecar = None
    if comment.startswith("{"):
        sidecar = parse_json(comment, f"{path} has a comment that is not clapgen's")
    if not isinstance(sidecar, dict) or not sidecar.keys() >= set(_REQUIRED):
        raise ClapgenError(f"{path} has no settings of clapgen inside, and there is no {path.with_suffix('.json')}.")
    return _checked({**sidecar, "file": path.name, "sha256": sha256_of(path)}, path)


def _checked(sidecar: dict[str, Any], path: Path) -> dict[str, Any]:
    """With current keys. ClapgenError if a value that is used has another type than clapgen writes."""
    model = sidecar["model"]
    hashes = model.get("hashes") if isinstance(model, dict) else None
    wrong = {key: "text" for key in _TEXTS if not isinstance(sidecar.get(key, ""), str)}
    if not isinstance(model, dict) or not isinstance(model.get("name", ""), str) or not isinstance(hashes, dict):
        wrong["model"] = "an object with a name and hashes"
    if not isinstance(sidecar.get("versions", {}), dict):
        wrong["versions"] = "an object"
    for key, kind in wrong.items():
        raise ClapgenError(f"{path}: '{key}' must be {kind}, not {shown(sidecar[key])}.")
    for key, allowed in FILE_RANGES.items():
        if sidecar.get(key) is not None:
            allowed.checked(sidecar[key], f"{path}: '{key}'")
    return with_current_keys(sidecar)
