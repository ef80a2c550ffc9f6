"""The sentence forms of scenes, and the words that are held out of them for evaluation.

{a}, {b} and {c} are sounds in the order of the events, {x} is one without article. A form under `NOUNS` needs noun
phrases ("a dog barking"); one under `ANY` also takes clauses ("a dog barks"). No form contains a text of
`HELD_OUT_WORDS`.
"""

from __future__ import annotations

ANY: dict[str, tuple[str, ...]] = {
    "single": ("{a}", "{a}", "it sounds like this: {a}"),
    "alone": ("only {a}", "just {a}", "{a}, and nothing else"),
    "sequence 2": (
        "{a}, then {b}",
        "{a}, and then {b}",
        "first {a}, then {b}",
        "{a} before {b}",
        "{b} after {a}",
        "after {a}, {b}",
        "{a}, afterwards {b}",
        "{a}, next {b}",
        "at first {a}, later {b}",
    ),
    "sequence 3": (
        "{a}, then {b}, then {c}",
        "first {a}, then {b}, and finally {c}",
        "{a}, next {b}, last {c}",
        "{a} before {b}, and after that {c}",
        "in this order: {a}, {b}, {c}",
    ),
    "overlap 2": (
        "{a} while {b}",
        "{a} and {b} at the same time",
        "{a}, and meanwhile {b}",
        "simultaneously {a} and {b}",
        "{a}, and during this {b}",
    ),
    "overlap 3": (
        "{a}, {b} and {c} at the same time",
        "{a} while {b} and {c}",
        "simultaneously {a}, {b} and {c}",
        "{a}, and meanwhile {b} and {c}",
    ),
    "background": (
        "{a}, and quietly in the background {b}",
        "{a} in the foreground, {b} in the background",
        "loud and clear: {a}; faint: {b}",
        "{a}, and softly behind it {b}",
    ),
    "repeated": ("{a}, {times}", "{times}: {a}", "{a}, and this {times}"),
    "long": ("{a}, for a long time", "{a}, on and on", "{a}, going on for long"),
    "short": ("{a}, only briefly", "{a}, for a short moment", "very short: {a}"),
    "far": ("{a}, far away", "{a}, in the distance", "from far away, {a}"),
    "near": ("{a}, close by", "{a}, right here", "from very near, {a}"),
    "absence": ("no {x} can be heard", "no {x}", "not a trace of {x}", "no sound of {x}", "there is no sound of {x}"),
    "but no": ("{text}, but no {x}", "{text}, and no {x}", "{text}; no {x}", "{text}, but not the sound of {x}"),
}

NOUNS: dict[str, tuple[str, ...]] = {
    "single": ("the sound of {a}", "{a} can be heard", "a recording of {a}", "one can hear {a}"),
    "alone": ("the sound of {a} alone", "{a} on its own"),
    "sequence 2": (
        "the sound of {a}, then of {b}",
        "{a} gives way to {b}",
        "{a} comes first, {b} second",
        "{b} is heard after {a}",
        "{a} can be heard before {b}",
    ),
    "sequence 3": ("the sound of {a}, then of {b}, then of {c}", "{a} comes first, {b} second, {c} third"),
    "overlap 2": (
        "{a} together with {b}",
        "{a} mixed with {b}",
        "both {a} and {b} sound together",
        "{a} over the sound of {b}",
    ),
    "overlap 3": ("{a} together with {b} and {c}", "a mixture of {a}, {b} and {c}"),
    "background": (
        "{a} with {b} quietly in the background",
        "{a}, with faint {b} behind it",
        "the quiet sound of {b} behind {a}",
        "{a} is much louder than {b}",
    ),
    "repeated": ("{a} {times}", "{a} is heard {times}", "the sound of {a}, {times}", "{a} sounds {times}"),
    "long": ("a long sound of {a}", "{a} that lasts long"),
    "short": ("a short sound of {a}", "a brief sound of {a}"),
    "far": ("distant {a}", "the sound of {a} from afar"),
    "near": ("{a} at close range", "the sound of {a} from nearby"),
}

TIMES = {1: ("once", "a single time"), 2: ("twice", "two times"), 3: ("three times",), 4: ("four times",)}

# Each template that `clapgen evaluate compose` uses has one of these (`clapgen.metrics.embeddings.composition_items`).
HELD_OUT_WORDS = ("this is a sound", "in this sound", "followed by", "prior to", "at once", "without")
