"""The kinds of scenes: how each places its events, what is said of it, what is nearly true, and its twin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from clapgen.scenes.scene import Event, Scene
from clapgen.scenes.sentences import Style
from clapgen.scenes.stage import Stage, distinct, end_of, shifted

QUIET_DB = (-20.0, -12.0)  # of a background, relative to what is in front of it
EQUAL_DB = (-3.0, 3.0)
GAPS = (0.3, 1.5)  # seconds between repetitions
COUNTS = (2, 3, 4)
LONG = 3.0  # seconds; at least as long is "long", at most BRIEF is "short"
BRIEF = (0.25, 0.7)
FAR = (0.6, 1.0)
TAIL = 0.5  # seconds that reverberation gets after a distant sound
LEAST_OVERLAP = 0.3  # of the shorter sound


def single(stage: Stage) -> Scene | None:
    """One sound. In the twin there is another at the same time."""
    clip, styles = stage.first, stage.styles()
    event = stage.piece(clip, stage.window)
    captions = [style.say("single", clip) for style in styles]
    if stage.draws.chance(0.2):
        captions[-1] = styles[-1].say("alone", clip)
    negatives = stage.negatives(styles[0], [clip], lambda clips: _one_or_overlap(styles[0], clips), [])
    captions = _with_absent(stage, styles, [clip], captions, "single")
    twin = _with_another(stage, styles, event)
    return Scene(event.duration, (event,), "single", distinct(captions), negatives, twin)


def _with_another(stage: Stage, styles: Sequence[Style], event: Event) -> tuple[Scene, ...]:
    """The twin of a single sound: the same with another at the same time; none if there is no other."""
    other = stage.another([event.clip])
    if other is None:
        return ()
    added = stage.piece(other, event.duration)
    added = replace(added, start=stage.draws.between(0, event.duration - added.duration))
    events = shifted([event, added])
    captions = [style.say("overlap", *(each.clip for each in events)) for style in styles]
    return (Scene(event.duration, events, "overlap", distinct(captions)),)


def sequence(stage: Stage) -> Scene | None:
    """Two or three sounds, one after the other. The twin has them in another order."""
    count = stage.three_or_two()
    clips = stage.with_more([stage.first], count)
    if clips is None:
        return None
    clips = stage.draws.shuffled(clips)
    styles = stage.styles()
    gaps = [0.0 if stage.draws.chance(0.5) else stage.draws.between(0.05, 0.4) for _ in clips[1:]]
    gaps = [min(gap, 0.1 * stage.window) for gap in gaps]
    longest = (stage.window - sum(gaps)) / count
    pieces = {clip: stage.piece(clip, longest) for clip in clips}
    swapped = clips[::-1]
    if count == 3:
        swapped = stage.draws.pick([swapped, [*clips[1:], clips[0]], [clips[1], clips[0], clips[2]]])

    def scene(order: Sequence[int]) -> Scene:
        events = _in_turn([pieces[clip] for clip in order], gaps)
        return Scene(end_of(events), events, "sequence", distinct([s.say("sequence", *order) for s in styles]))

    style = stage.draws.pick(styles)
    own = [("order", style.say("sequence", *swapped)), ("relation", style.say("overlap", *clips))]
    negatives = stage.negatives(style, clips, lambda order: style.say("sequence", *order), own)
    true = scene(clips)
    captions = _with_absent(stage, styles, clips, true.captions, "sequence")
    return replace(true, captions=distinct(captions), negatives=negatives, twins=(scene(swapped),))


def overlap(stage: Stage) -> Scene | None:
    """Two or three sounds at the same time. In the twin one is exchanged or left out."""
    clips = stage.with_more([stage.first], stage.three_or_two())
    if clips is None:
        return None
    styles, draws = stage.styles(), stage.draws
    pieces = [stage.piece(clip, stage.window) for clip in clips]
    pieces = [replace(piece, gain_db=draws.between(*EQUAL_DB)) for piece in pieces]
    longest = max(pieces, key=lambda piece: piece.duration)
    events = shifted([piece if piece is longest else _over(stage, piece, longest.duration) for piece in pieces])
    clips = [event.clip for event in events]
    style = draws.pick(styles)
    # what starts last is said to come first: the other way round is nearly true of sounds that overlap little
    own = [("relation", style.say("sequence", *clips[::-1]))]
    negatives = stage.negatives(style, clips, lambda names: _one_or_overlap(style, names), own)
    captions = [s.say("overlap", *clips) for s in styles]
    captions = _with_absent(stage, styles, clips, captions, "overlap")
    gone = draws.pick([event for event in events if event.clip != longest.clip])
    twin = _without(events, gone, stage, styles)
    return Scene(end_of(events), events, "overlap", distinct(captions), negatives, (twin,))


def _one_or_overlap(style: Style, clips: Sequence[int], kind: str = "single") -> str:
    """What is said of one sound alone, of the given kind, or of several at once."""
    return style.say(kind if len(clips) == 1 else "overlap", *clips)


def _over(stage: Stage, piece: Event, length: float) -> Event:
    """A piece that overlaps a sound from 0 to `length` by enough, within the window."""
    slack = (1 - LEAST_OVERLAP) * piece.duration
    low, high = -min(slack, stage.window - length), length - piece.duration + min(slack, stage.window - length)
    if stage.draws.chance(0.5):
        low, high = 0.0, length - piece.duration
    start = stage.draws.between(low, high)
    # what starts early must not end late as well: the whole has to fit the window
    return replace(piece, start=min(start, stage.window + min(0.0, start) - piece.duration))


def _without(events: Sequence[Event], gone: Event, stage: Stage, styles: Sequence[Style]) -> Scene:
    """The twin of an overlap without the event `gone`, or with another sound in its place."""
    other = stage.another([event.clip for event in events]) if stage.draws.chance(0.5) else None
    rest = [event for event in events if event is not gone]
    if other is not None:
        length = max(rest, key=lambda event: event.duration)
        piece = stage.cut(other, min(stage.clip(other).seconds, gone.duration))
        begin, end = max(gone.start, length.start), min(gone.end, length.end)
        start = gone.start if piece.duration >= gone.duration else max(begin, min(end - piece.duration, gone.start))
        rest.append(replace(piece, start=start, gain_db=gone.gain_db))
    events = shifted(rest)
    clips = [event.clip for event in events]
    relation = "overlap" if len(clips) > 1 else "single"
    said = "alone" if len(clips) == 1 and stage.draws.chance(0.3) else relation
    return Scene(end_of(events), events, relation, distinct([style.say(said, *clips) for style in styles]))


def background(stage: Stage) -> Scene | None:
    """A sound with a quieter one behind it. In the twin they have changed places."""
    other = stage.another([stage.first])
    if other is None:
        return None
    styles, draws = stage.styles(), stage.draws
    behind, front = stage.piece(stage.first, stage.window), stage.piece(other, stage.window)
    if front.duration > behind.duration:
        behind, front = front, behind
    front = replace(front, start=draws.between(0, behind.duration - front.duration))
    quiet = draws.between(*QUIET_DB)

    def scene(near: Event, far: Event) -> Scene:
        events = shifted([replace(near, gain_db=0.0), replace(far, gain_db=quiet)])
        captions = distinct([style.say("background", near.clip, far.clip) for style in styles])
        return Scene(end_of(events), events, "background", captions)

    if draws.chance(0.5):
        front, behind = behind, front
    clips = [front.clip, behind.clip]
    style = draws.pick(styles)
    own = [
        ("loudness", style.say("background", *clips[::-1])),
        ("relation", style.say("sequence", *draws.shuffled(clips))),
    ]

    def say(names: Sequence[int]) -> str:
        return style.say("background", *names) if len(names) == 2 else _one_or_overlap(style, names)

    negatives = stage.negatives(style, clips, say, own)
    return replace(scene(front, behind), negatives=negatives, twins=(scene(behind, front),))


def repeated(stage: Stage) -> Scene | None:
    """One sound two to four times. The twin has another count, which may be once."""
    clip, draws = stage.first, stage.draws
    duration = stage.clip(clip).seconds
    most = int((stage.window + GAPS[0]) / (duration + GAPS[0]))
    fitting = [count for count in COUNTS if count <= most]
    if not fitting:
        return None
    count = draws.pick(fitting)
    others = [1, *(number for number in fitting if number != count)]
    styles = stage.styles()
    several = draws.chance(0.5)

    def scene(times: int) -> Scene:
        clips = [clip, *(stage.alike(clip) if several else clip for _ in range(times - 1))]
        pieces = [stage.piece(each, 2 * max(duration, stage.clip(each).seconds)) for each in clips]
        room = stage.window - sum(piece.duration for piece in pieces)
        if room < GAPS[0] * (times - 1):
            pieces = [stage.piece(clip, 2 * duration) for _ in clips]
            room = stage.window - times * duration
        longest = min(GAPS[1], room / max(1, times - 1))
        events = _in_turn(pieces, [draws.between(GAPS[0], longest) for _ in pieces[1:]])
        relation = "repeated" if times > 1 else "single"
        return Scene(end_of(events), events, relation, distinct([s.say("repeated", clip, count=times) for s in styles]))

    style = draws.pick(styles)
    own = [("count", style.say("repeated", clip, count=number)) for number in draws.shuffled([1, *COUNTS])]
    own = [(kind, caption) for kind, caption in own if caption != style.say("repeated", clip, count=count)][:2]

    def say(clips: Sequence[int]) -> str:
        if len(clips) > 1:
            return style.say("overlap", *clips)
        return style.say("repeated", *clips, count=count)

    negatives = stage.negatives(style, [clip], say, own)
    return replace(scene(count), negatives=negatives, twins=(scene(draws.pick(others)),))


def duration(stage: Stage) -> Scene | None:
    """One sound that lasts long, or only for a moment. The twin is the other; of a short clip, another."""
    clip, draws = stage.first, stage.draws
    seconds = stage.clip(clip).seconds
    possible = [n for n, fits in (("long", min(seconds, stage.window) >= LONG), ("short", True)) if fits]
    if seconds > BRIEF[1] and possible == ["short"]:
        return None  # neither
    styles = stage.styles()

    def scene(kind: str, sound: int = clip) -> Scene:
        longest = min(stage.clip(sound).seconds, stage.window)
        low, high = (LONG, longest) if kind == "long" else BRIEF
        event = stage.cut(sound, min(longest, draws.between(low, high)))
        return Scene(event.duration, (event,), "single", distinct([style.say(kind, sound) for style in styles]))

    kind = draws.pick(possible)
    style = draws.pick(styles)
    wrong = "short" if kind == "long" else "long"
    negatives = stage.negatives(
        style, [clip], lambda clips: _one_or_overlap(style, clips, kind), [("duration", style.say(wrong, clip))]
    )
    other = stage.another([clip])
    if len(possible) > 1:
        twins: tuple[Scene, ...] = (scene(wrong),)
    else:
        twins = () if other is None else (scene("short", other),)
    return replace(scene(kind), negatives=negatives, twins=twins)


def distance(stage: Stage) -> Scene | None:
    """One sound near by or far away. The twin is the other."""
    clip, draws = stage.first, stage.draws
    styles = stage.styles()
    piece = stage.piece(clip, stage.window - TAIL if stage.window > 2 * TAIL else stage.window)
    far_away = draws.between(*FAR)

    def scene(kind: str) -> Scene:
        event = replace(piece, distance=far_away if kind == "far" else 0.0)
        length = min(stage.window, event.duration + (TAIL if kind == "far" else 0.0))
        return Scene(length, (event,), "single", distinct([style.say(kind, clip) for style in styles]))

    kind = draws.pick(("far", "near"))
    wrong = "near" if kind == "far" else "far"
    style = draws.pick(styles)
    negatives = stage.negatives(
        style, [clip], lambda clips: _one_or_overlap(style, clips, kind), [("distance", style.say(wrong, clip))]
    )
    return replace(scene(kind), negatives=negatives, twins=(scene(wrong),))


def _in_turn(pieces: Sequence[Event], gaps: Sequence[float]) -> tuple[Event, ...]:
    events, position = [], 0.0
    for piece, gap in zip(pieces, [*gaps, 0.0], strict=True):
        events.append(replace(piece, start=position))
        position += piece.duration + gap
    return tuple(events)


def _with_absent(
    stage: Stage, styles: Sequence[Style], clips: Sequence[int], captions: Sequence[str], relation: str
) -> list[str]:
    """The captions, the last of which may also say what is not there."""
    absent = stage.another(clips) if stage.draws.chance(stage.options.absence) else None
    if absent is None:
        return list(captions)
    return [*captions[:-1], styles[-1].say(relation, *clips, but_no=absent)]


KINDS: dict[str, Callable[[Stage], Scene | None]] = {
    "single": single,
    "sequence": sequence,
    "overlap": overlap,
    "background": background,
    "repeated": repeated,
    "duration": duration,
    "distance": distance,
}
