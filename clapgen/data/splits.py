"""The clips of a manifest that a network is trained on, and those that it is measured on."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from clapgen.data.manifest import Clip, choose_training_clips, read_manifest
from clapgen.errors import ClapgenError, nearest

logger = logging.getLogger(__name__)

NAMES_SHOWN = 5
FIELDS = ("labels", "recording", "licence", "split", "free")  # keys of a manifest that are attributes of `Clip`


def split_clips(
    manifest: str | Path,
    train_split: str = "train",
    validation_split: str = "val",
    free_only: bool = False,
    exclude_copyleft: Sequence[str] = (),
) -> tuple[list[Clip], list[Clip]]:
    """Clips to train on (see `training_clips`), and clips to measure on (there may be none).

    Recordings in both are reported.

    Raises:
        ClapgenError: the manifest cannot be read, or has no clips to train on.
    """
    clips = read_manifest(manifest)
    training = choose_training_clips(clips, manifest, train_split, free_only, exclude_copyleft)
    held_out = [clip for clip in clips if clip.split == validation_split]
    shared = {clip.recording for clip in training} & {clip.recording for clip in held_out} - {None}
    if shared:
        logger.warning(
            "%d recordings have clips both in training and in validation, which makes validation metrics too good: %s",
            len(shared),
            some(sorted(map(str, shared))),
        )
    return training, held_out


def hold_out(
    clips: Sequence[Clip], held_out: Sequence[str], train_on: Sequence[str] = (), validation_split: str = "val"
) -> list[Clip]:
    """The clips with splits such that some are held out; all clips of a recording follow those that are held out.

    To measure on each fold of ESC-50 in turn: `held_out=["fold=1"], train_on=["fold=4"]`. To measure on classes that
    training does not know: `held_out=["esc50_class=dog", …]`.

    Args:
        held_out: "FIELD=VALUE"; clips with one of them get `validation_split`. A list has a value if it contains it.
        train_on: "FIELD=VALUE"; clips with one of them that were held out get "train".

    Raises:
        ClapgenError: no clip has such a field or value, or nothing would be left to train on.
    """
    away, back = clips_having(clips, held_out), clips_having(clips, train_on)
    hidden = [
        index in away or (clip.split == validation_split and index not in back) for index, clip in enumerate(clips)
    ]
    recordings = {clip.recording for clip, is_hidden in zip(clips, hidden, strict=True) if is_hidden} - {None}
    divided = []
    for index, clip in enumerate(clips):
        if hidden[index] or clip.recording in recordings:
            clip = replace(clip, split=validation_split)
        elif index in back:
            clip = replace(clip, split="train")
        divided.append(clip)
    if all(clip.split == validation_split for clip in divided):
        raise ClapgenError(f"{', '.join(held_out)}: no clip is left to train on; hold out fewer.")
    return divided


def clips_having(clips: Sequence[Clip], conditions: Sequence[str]) -> set[int]:
    """Indices of the clips that have one of the "FIELD=VALUE"; a list has a value if it contains it.

    Raises:
        ClapgenError: a condition is not of that form, or no clip has such a field or value.
    """
    found: set[int] = set()
    for condition in conditions:
        field, equals, value = condition.partition("=")
        if not equals or not value:
            raise ClapgenError(f"'{condition}' must be FIELD=VALUE, such as fold=1.")
        values = values_of(clips, field)
        matching = {index for index, of_clip in enumerate(values) if value in of_clip}
        if not matching:
            known = sorted({each for of_clip in values for each in of_clip})
            raise ClapgenError(f"no clip has {condition}.{nearest(value, known)} Its values are {some(known)}.")
        found |= matching
    return found


def values_of(clips: Sequence[Clip], field: str) -> list[list[str]]:
    """What each clip has under a key of its manifest line: each item of a list, or one text; none if it lacks the key.

    Raises:
        ClapgenError: no clip has the key.
    """
    values = []
    for clip in clips:
        value = getattr(clip, field) if field in FIELDS else clip.extra.get(field)
        items = value if isinstance(value, list) else [value]
        values.append(list(dict.fromkeys(str(item) for item in items if item is not None and item != "")))
    if not any(values):
        keys = {*FIELDS, *(key for clip in clips for key in clip.extra)}
        raise ClapgenError(f"no clip of the manifest has '{field}'.{nearest(field, keys)}")
    return values


def class_of(clip: Clip, class_field: str) -> str:
    """The class of a clip (the key `class_field` of its manifest line, also if it is a number), or an empty text."""
    value = clip.extra.get(class_field)
    return "" if value is None else str(value)


def check_class_field(clips: Iterable[Clip], class_field: str) -> None:
    """ClapgenError if no clip has the key `class_field`; an empty text is no key."""
    if class_field and not any(class_field in clip.extra for clip in clips):
        nearest_key = nearest(class_field, {key for clip in clips for key in clip.extra})
        raise ClapgenError(
            f"no clip of the manifest has '{class_field}'.{nearest_key} Set --label-field to the key that holds the "
            "class."
        )


def some(names: Sequence[str]) -> str:
    """The first few of many names, for a message."""
    return ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")
