"""Scenes in a manifest: the keys of a line that say what a clip is composed of, and the scene read back from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from clapgen.data.manifest import Clip
from clapgen.data.text import shown
from clapgen.errors import ClapgenError
from clapgen.scenes.rendering import check_times
from clapgen.scenes.scene import Event, Negative, Scene

RELATIONS = ("single", "sequence", "overlap", "background", "repeated")
_OPTIONAL = ("gain_db", "clip_start", "distance")  # of an event
_MOST = 1000  # events, captions, negatives or twins of a line
_DIGITS = 6  # of times and gains


def scene_fields(scene: Scene) -> dict[str, Any]:
    """The keys `duration`, `relation`, `events`, `negatives` and `twins` of a manifest's line, as JSON."""
    return _short(scene) | {
        "negatives": [asdict(negative) for negative in scene.negatives],
        "twins": [_short(twin) | {"captions": list(twin.captions)} for twin in scene.twins],
    }


def scene_of(clip: Clip) -> Scene | None:
    """The scene that a clip of a manifest is, as `clapgen pretrain simulate` writes it; None if it is not one.

    Raises:
        ClapgenError: a key is missing or has a wrong value (the file and the key are named).
    """
    if not {"events", "relation"} <= clip.extra.keys():
        return None
    where = str(clip.path)
    negatives = []
    for number, each in enumerate(_objects(clip.extra, "negatives", where)):
        place = f"{where}: negatives[{number}]"
        negatives.append(Negative(_text(each, "kind", place), _text(each, "caption", place)))
    twins = []
    for number, each in enumerate(_objects(clip.extra, "twins", where)):
        place = f"{where}: twins[{number}]"
        twins.append(_scene(each, _texts(each, "captions", place), place))
    return _scene(clip.extra, clip.captions, where, tuple(negatives), tuple(twins))


def _short(scene: Scene) -> dict[str, Any]:
    events = [
        {key: round(value, _DIGITS) if isinstance(value, float) else value for key, value in asdict(event).items()}
        for event in scene.events
    ]
    return {"duration": round(scene.duration, _DIGITS), "relation": scene.relation, "events": events}


def _scene(
    given: dict[str, Any],
    captions: Sequence[str],
    where: str,
    negatives: tuple[Negative, ...] = (),
    twins: tuple[Scene, ...] = (),
) -> Scene:
    relation = _text(given, "relation", where)
    if relation not in RELATIONS:
        raise ClapgenError(f'{where}: "relation" must be one of {", ".join(RELATIONS)}, not {shown(relation)}.')
    events = tuple(
        _event(each, f"{where}: events[{number}]") for number, each in enumerate(_objects(given, "events", where))
    )
    if not events or not captions:
        raise ClapgenError(f"{where}: a scene needs events and captions.")
    scene = Scene(_number(given, "duration", where, 1e-3), events, relation, tuple(captions), negatives, twins)
    check_times(scene, where)
    return scene


def _event(given: dict[str, Any], where: str) -> Event:
    clip = given.get("clip")
    if not isinstance(clip, int) or isinstance(clip, bool) or clip < 0:
        raise ClapgenError(f'{where}: "clip" must be the number of a clip, not {shown(clip)}.')
    lowest = {"start": 0.0, "duration": 1e-3, "gain_db": -120.0, "clip_start": 0.0, "distance": 0.0}
    highest = {"gain_db": 120.0, "distance": 1.0}
    numbers = {
        key: _number(given, key, where, low, highest.get(key, 1e5))
        for key, low in lowest.items()
        if key in given or key not in _OPTIONAL
    }
    return Event(clip, _text(given, "label", where), **numbers)


def _objects(given: dict[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    value = given.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value) or len(value) > _MOST:
        raise ClapgenError(f'{where}: "{key}" must be a list of at most {_MOST} objects, not {shown(value)}.')
    return value


def _text(given: dict[str, Any], key: str, where: str) -> str:
    value = given.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ClapgenError(f'{where}: "{key}" must be a text, not {shown(value)}.')
    return value


def _number(given: dict[str, Any], key: str, where: str, low: float, high: float = 1e5) -> float:
    value = given.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ClapgenError(f'{where}: "{key}" must be a number, not {shown(value)}.')
    if not low <= value <= high:
        raise ClapgenError(f'{where}: "{key}" must be {low:g} to {high:g}, not {value:g}.')
    return float(value)


def _texts(given: dict[str, Any], key: str, where: str) -> list[str]:
    value = given.get(key)
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ClapgenError(f'{where}: "{key}" must be a list of texts, not {shown(value)}.')
    return value
