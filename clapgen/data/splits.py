"""The clips of a manifest that a network is trained on, and those that it is measured on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from clapgen.data.manifest import Clip, choose_training_clips, read_manifest

logger = logging.getLogger(__name__)

NAMES_SHOWN = 5


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


def class_of(clip: Clip, class_field: str) -> str:
    """The class of a clip (the key `class_field` of its manifest line, also if it is a number), or an empty text."""
    value = clip.extra.get(class_field)
    return "" if value is None else str(value)


def some(names: Sequence[str]) -> str:
    """The first few of many names, for a message."""
    return ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")
