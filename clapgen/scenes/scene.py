"""What a scene is: events on a time line, sentences that are true of it, and sentences that are nearly true."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """One clip that sounds once in a scene. Times are in seconds.

    Attributes:
        clip: Number of the clip in the list that the scene was drawn from.
        label: What it is, as a noun phrase without article ("dog bark").
        start, duration: When it sounds in the scene.
        gain_db: Its level, relative to the other events once all clips have equal loudness.
        clip_start: Where in the clip it starts.
        distance: 0 is near; up to 1, farther away: more reverberation and fewer high frequencies.
    """

    clip: int
    label: str
    start: float
    duration: float
    gain_db: float = 0.0
    clip_start: float = 0.0
    distance: float = 0.0

    @property
    def end(self) -> float:
        """When it stops, in seconds."""
        return self.start + self.duration


@dataclass(frozen=True)
class Negative:
    """A sentence that is nearly true of a scene. `kind` says what is wrong: order, exchanged, left_out, added, count,
    loudness, duration, distance, relation or absence."""

    kind: str
    caption: str


@dataclass(frozen=True)
class Scene:
    """Events within `duration` seconds, and sentences about them.

    Attributes:
        relation: What the events have to do with each other: single, sequence, overlap, background or repeated.
        captions: Sentences that are true of it; at least one.
        negatives: Sentences that are nearly true of it.
        twins: Scenes of the same clips that differ in one respect, such as the order; a twin has no twins of its own.
    """

    duration: float
    events: tuple[Event, ...]
    relation: str
    captions: tuple[str, ...]
    negatives: tuple[Negative, ...] = ()
    twins: tuple[Scene, ...] = ()
