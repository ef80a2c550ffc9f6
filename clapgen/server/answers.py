"""How results reach a client: sounds as bytes or as JSON, whichever it accepts; everything else as JSON."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from clapgen.server.json_answers import json_answer
from clapgen.server.problems import Problem

MEDIA_TYPES = {
    ".wav": "audio/wav", ".flac": "audio/flac", ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".opus": "audio/ogg",
    ".pcm": "audio/pcm", ".ulaw": "audio/basic", ".alaw": "audio/x-alaw-basic",
}  # fmt: skip


@dataclass
class MadeSound:
    """A sound as a file's bytes, its sidecar, and the name that the file would have."""

    content: bytes
    sidecar: dict[str, Any]
    stem: str
    suffix: str

    @property
    def media_type(self) -> str:
        """Its media type."""
        return MEDIA_TYPES[self.suffix]

    def as_dict(self) -> dict[str, Any]:
        """As JSON values, the bytes in base64."""
        encoded = base64.b64encode(self.content).decode("ascii")
        return {
            "file": self.stem + self.suffix,
            "media_type": self.media_type,
            "audio": encoded,
            "sidecar": self.sidecar,
        }


@dataclass
class MadeSounds:
    """The result of making sounds."""

    sounds: list[MadeSound]
    warnings: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes that it takes in memory."""
        return sum(len(sound.content) for sound in self.sounds)


def wants_json(request: Request) -> bool:
    """Whether a client accepts JSON rather than the bytes of a sound.

    Raises:
        Problem: 406 if it accepts neither.
    """
    json, sound = 0.0, 0.0
    for each in request.headers.get("accept", "*/*").lower().split(","):
        kind, _, parameters = each.strip().partition(";")
        quality = _quality(parameters)
        if kind in ("*/*", "audio/*", *MEDIA_TYPES.values(), "application/octet-stream"):
            sound = max(sound, quality)
        elif kind in ("application/json", "application/*"):
            json = max(json, quality)
    if not json and not sound:
        raise Problem(406, "a sound is answered as audio/* or application/json; accept one of them.")
    return json > sound


def sounds_answer(made: MadeSounds, as_json: bool) -> Response:
    """Sounds as JSON, or the bytes of the only one."""
    if as_json:
        return json_answer({"sounds": [sound.as_dict() for sound in made.sounds], "warnings": made.warnings})
    if len(made.sounds) > 1:
        raise Problem(406, "several sounds are answered as JSON; send Accept: application/json.")
    [sound] = made.sounds
    ascii_name = sound.stem.encode("ascii", "ignore").decode() or "sound"
    headers = {
        "Content-Disposition": f'attachment; filename="{ascii_name}{sound.suffix}"',
        "X-Clapgen-Seed": str(sound.sidecar["seed"]),
        "X-Clapgen-Score": f"{sound.sidecar['score']:.6f}",
        "X-Clapgen-Sha256": sound.sidecar["sha256"],
    }
    return Response(sound.content, headers=headers, media_type=sound.media_type)


def answer_of(result: Any, as_json: bool) -> Response:
    """The answer to a request whose work gave this."""
    return sounds_answer(result, as_json) if isinstance(result, MadeSounds) else json_answer(result)


def _quality(parameters: str) -> float:
    for each in parameters.split(";"):
        name, _, value = each.strip().partition("=")
        if name == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
