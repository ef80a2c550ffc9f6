"""What the makers of scenes share: clips to draw from, pieces of them, styles, and negatives that fit every scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from clapgen.scenes.clips import SceneClip
from clapgen.scenes.draws import Draws
from clapgen.scenes.phrases import Phrases
from clapgen.scenes.scene import Event, Negative
from clapgen.scenes.sentences import Style

SHORTEST = 0.05  # seconds of an event
_BEFORE_LOUDEST, _AFTER_LOUDEST = 0.03, 0.1  # seconds of a piece around the loudest moment of its clip


@dataclass
class SceneOptions:
    """How scenes are drawn.

    The first seven are the weights of the kinds: one sound; two or three, one after the other; at once; one quietly
    behind another; one several times; one that lasts long or is cut short; one near or far away. A weight of 0 leaves
    a kind out. `three` is the share of sequences and overlaps of three sounds, `absence` the share of scenes with a
    caption that also says what is not there, `plain` the share of captions of bare names in the plainest forms. A scene
    has 2 to `captions` captions and at most `negatives` negatives.
    """

    single: float = 1.0
    sequence: float = 3.0
    overlap: float = 2.0
    background: float = 1.0
    repeated: float = 1.0
    duration: float = 0.5
    distance: float = 0.5
    three: float = 0.25
    absence: float = 0.25
    plain: float = 0.0
    captions: int = 4
    negatives: int = 5


@dataclass
class Stage:
    """One scene in the making.

    Attributes:
        first: The clip that the scene is about.
        window: The longest scene, in seconds.
        another: Draws a clip that is another sound than all of these; None if there is none.
        alike: Draws a clip that is the same sound as this one, and short enough to be repeated.
        phrases: What a clip can be called in a scene of this kind.
        clip: What is known of a clip.
    """

    draws: Draws
    first: int
    window: float
    options: SceneOptions
    another: Callable[[Sequence[int]], int | None]
    alike: Callable[[int], int]
    phrases: Callable[[int], Phrases]
    clip: Callable[[int], SceneClip]

    def styles(self) -> list[Style]:
        """A style for each caption."""
        count = 2 + int(self.draws.share() * (self.options.captions - 1))
        offset = self.draws.share()
        plain = self.options.plain
        return [Style(self.draws, self.phrases, (offset + index / count) % 1, plain) for index in range(count)]

    def piece(self, number: int, longest: float) -> Event:
        """A piece of a clip, at 0: all of it, or 60% to all of `longest` seconds of it."""
        clip = self.clip(number)
        duration = min(clip.seconds, self.draws.between(0.6 * longest, longest))
        return self.cut(number, duration)

    def cut(self, number: int, duration: float) -> Event:
        """A piece of a clip, at 0, that lasts `duration`: half of the time the start of the clip, if it is loud there.

        A piece contains the loudest moment of its clip.
        """
        clip, draws = self.clip(number), self.draws
        low, latest = clip.start, clip.start + clip.seconds - duration
        high = latest
        if clip.loudest is not None:
            low = min(max(low, clip.loudest + min(_AFTER_LOUDEST, duration / 2) - duration), latest)
            high = max(low, min(latest, clip.loudest - min(_BEFORE_LOUDEST, duration / 2)))
        start = low if draws.chance(0.5) and low == clip.start else draws.between(low, high)
        return Event(number, clip.names[0], 0.0, duration, clip_start=max(start, 0.0))

    def with_more(self, clips: Sequence[int], count: int) -> list[int] | None:
        """`clips` and others, `count` different sounds in all; None if there are not so many."""
        found = list(clips)
        while len(found) < count:
            other = self.another(found)
            if other is None:
                return None
            found.append(other)
        return found

    def three_or_two(self) -> int:
        """How many sounds a sequence or an overlap has."""
        return 3 if self.draws.chance(self.options.three) else 2

    def negatives(
        self,
        style: Style,
        clips: Sequence[int],
        say: Callable[[Sequence[int]], str],
        own: Sequence[tuple[str, str]],
    ) -> tuple[Negative, ...]:
        """The kind's own negatives, then some of those that every scene has: exchanged, left out, added, absence.

        Args:
            clips: the scene's sounds; `say` makes the sentence that the scene consists of given ones.
            own: kind and sentence of the negatives that only this scene has.
        """
        others: list[tuple[str, str]] = []
        present = self.draws.pick(clips)
        absent = self.another(clips)
        if absent is not None:
            others.append(("exchanged", say([absent if clip == present else clip for clip in clips])))
            others.append(("absence", style.say("single", absent, but_no=present)))
            if len(clips) < 3:
                place = int(self.draws.share() * (len(clips) + 1))
                others.append(("added", say([*clips[:place], absent, *clips[place:]])))
        if len(clips) > 1:
            rest = [clip for clip in clips if clip != present]
            left_out = style.say("alone", rest[0]) if len(rest) == 1 else say(rest)
            others += [("left_out", left_out), ("absence", _alone(style, rest, but_no=present))]
        else:
            others.append(("absence", style.deny(present)))
        chosen = [*own, *self.draws.shuffled(others)][: self.options.negatives]
        return tuple(Negative(kind, caption) for kind, caption in dict.fromkeys(chosen))


def _alone(style: Style, clips: Sequence[int], but_no: int) -> str:
    return style.say("single" if len(clips) == 1 else "overlap", *clips, but_no=but_no)


def shifted(events: Sequence[Event]) -> tuple[Event, ...]:
    """The events, moved so that the first starts at 0, in order of their start."""
    first = min(event.start for event in events)
    moved = (replace(event, start=event.start - first) for event in events)
    return tuple(sorted(moved, key=lambda event: event.start))


def end_of(events: Sequence[Event]) -> float:
    """When the last event stops."""
    return max(event.end for event in events)


def distinct(captions: Sequence[str]) -> tuple[str, ...]:
    """The captions without repetitions."""
    return tuple(dict.fromkeys(captions))
