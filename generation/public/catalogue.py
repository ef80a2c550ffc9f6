"""The kinds of public generators: how to recognise one, what its authors chose, its licence. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clapgen.errors import ClapgenError
from generation.requests import DEFAULTS

PIPELINE_FILE = "model_index.json"  # of diffusers: names the classes of the parts, one folder each
CONFIG_FILE = "config.json"  # of transformers
AUDIOCRAFT_FILES = ("state_dict.bin", "compression_state_dict.bin")

_SCHEDULER = "it uses the scheduler of its checkpoint"
_NEIGHBOURS = "neighbours need a clapgen model"
NOT_SUPPORTED = {
    "sampler": _SCHEDULER, "time_shift": _SCHEDULER, "neighbours": _NEIGHBOURS, "neighbour_scale": _NEIGHBOURS,
    "neighbour_strength": _NEIGHBOURS, "neighbour_blend": _NEIGHBOURS,
    "edit": "clapgen edit needs a clapgen model", "mix": "it takes text alone; give a prompt",
    "without": "it takes text alone; give a --negative-prompt",
}  # fmt: skip
_TOKENS = "it draws one token after the other, from the 250 most likely ones"
_NO_STEPS = {
    **NOT_SUPPORTED, "sampler": _TOKENS, "time_shift": _TOKENS,
    "num_steps": f"{_TOKENS}, and has no steps; fewer --seconds take less time",
}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A kind of public generator.

    Attributes:
        name: as its authors call it.
        module: where its class is, and the class, as "module:Class" in this package.
        seconds, num_steps, guidance_scale: what its authors use; `longest` is the longest sound in seconds.
        refused: settings that mean nothing to it, and why.
    """

    name: str
    module: str
    licence: str
    seconds: float
    guidance_scale: float
    num_steps: int | None = None
    longest: float = 30.0
    refused: Mapping[str, str] = field(default_factory=lambda: NOT_SUPPORTED)

    def defaults(self) -> dict[str, Any]:
        """The settings that its authors use; those that it has no use for are left out."""
        chosen = {"seconds": self.seconds, "num_steps": self.num_steps, "guidance_scale": self.guidance_scale}
        return {key: value for key, value in chosen.items() if value is not None}


CC_BY_NC_SA = "CC BY-NC-SA 4.0, no commercial use"
CC_BY_NC = "CC BY-NC 4.0, no commercial use"
STABILITY = "Stability AI Community License, commercial use with conditions"

KINDS = {
    "audioldm": Kind("AudioLDM", "audioldm:AudioLdm", CC_BY_NC_SA, 10.0, 2.5, 200),
    "audioldm2": Kind("AudioLDM 2", "audioldm2:AudioLdm2", CC_BY_NC_SA, 10.0, 3.5, 200),
    "musicldm": Kind("MusicLDM", "musicldm:MusicLdm", CC_BY_NC_SA, 10.0, 2.0, 200),
    "stable-audio": Kind("Stable Audio Open", "stable_audio:StableAudio", STABILITY, 30.0, 7.0, 100),
    "musicgen": Kind("MusicGen", "musicgen:MusicGen", CC_BY_NC, 15.0, 3.0, refused=_NO_STEPS),
    "audiocraft": Kind("AudioCraft", "audiocraft:AudioCraft", CC_BY_NC, 5.0, 3.0, refused=_NO_STEPS),
}

PIPELINES = {
    "AudioLDMPipeline": "audioldm",
    "AudioLDM2Pipeline": "audioldm2",
    "MusicLDMPipeline": "musicldm",
    "StableAudioPipeline": "stable-audio",
}
MODEL_TYPES = {"musicgen": "musicgen"}

NAMES = {
    "cvssp/audioldm-s-full-v2": "audioldm",
    "cvssp/audioldm-s-full": "audioldm",
    "cvssp/audioldm-m-full": "audioldm",
    "cvssp/audioldm-l-full": "audioldm",
    "cvssp/audioldm2": "audioldm2",
    "cvssp/audioldm2-large": "audioldm2",
    "cvssp/audioldm2-music": "audioldm2",
    "ucsd-reach/musicldm": "musicldm",
    "stabilityai/stable-audio-open-1.0": "stable-audio",
    "facebook/musicgen-small": "musicgen",
    "facebook/musicgen-medium": "musicgen",
    "facebook/musicgen-large": "musicgen",
    "facebook/audiogen-medium": "audiocraft",
}  # those that we know; any other checkpoint of a kind is recognised by its files


def kind_of(folder: Path, name: str) -> str:
    """The key in `KINDS` of a checkpoint, from its `model_index.json`, `config.json` or file names.

    Raises:
        ClapgenError: it is not a generator of a kind that we know.
    """
    if (folder / PIPELINE_FILE).is_file():
        found, kinds, what = read_json(folder / PIPELINE_FILE).get("_class_name"), PIPELINES, "pipeline"
    elif all((folder / file).is_file() for file in AUDIOCRAFT_FILES):
        return "audiocraft"
    elif (folder / CONFIG_FILE).is_file():
        found, kinds, what = read_json(folder / CONFIG_FILE).get("model_type"), MODEL_TYPES, "model type"
    else:
        raise ClapgenError(
            f"{name} is not a generator: it has no {PIPELINE_FILE}, {CONFIG_FILE} or {AUDIOCRAFT_FILES[0]}."
        )
    if not isinstance(found, str) or found not in kinds:
        raise ClapgenError(
            f"{name} is not a generator that clapgen can run: its {what} is {str(found)[:60]!r}, "
            f"not one of {', '.join(kinds)}."
        )
    return kinds[found]


def check_settings(kind: Kind, name: str, settings: Mapping[str, Any], given: Mapping[str, Any] | None = None) -> None:
    """Refuse settings that mean nothing to a kind.

    Args:
        settings: refused where they differ from the defaults of a request.
        given: options of the command line, refused whatever their value.

    Raises:
        ClapgenError: naming the setting and what works instead.
    """
    defaults = DEFAULTS.settings()
    for key, reason in kind.refused.items():
        if key in (given or {}) or (key in settings and settings[key] not in (defaults[key], (), [], None)):
            raise ClapgenError(f"{name} ({kind.name}) has no --{key.replace('_', '-')}: {reason}.")
    if settings.get("seconds", 0) > kind.longest:
        raise ClapgenError(f"{name} ({kind.name}) makes sounds of up to {kind.longest:g} s; choose fewer --seconds.")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a checkpoint.

    Raises:
        ClapgenError: it is missing, cannot be read, or is something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ClapgenError(f"{path} is missing; the checkpoint is not complete. Download it again.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ClapgenError(f"{path} cannot be read ({' '.join(str(error).split())[:99]}). Download it again.") from None
    if not isinstance(content, dict):
        raise ClapgenError(f"{path} is not a JSON object; download it again.")
    return content


def licence_of(folder: Path, kind: Kind) -> str:
    """The licence that the checkpoint's own card names in its header, or else the one of its kind."""
    try:
        lines = (folder / "README.md").read_text(encoding="utf-8").splitlines()[:60]
    except (OSError, ValueError):
        return kind.licence
    if not lines or lines[0].strip() != "---":
        return kind.licence
    for line in lines[1:]:
        key, _, value = line.partition(":")
        if line.strip() == "---":
            break
        if key.strip() in ("license", "license_name") and value.strip() not in ("", "other"):
            named = value.strip().strip("\"'")
            return f"{named}, no commercial use" if "-nc" in named else named
    return kind.licence
