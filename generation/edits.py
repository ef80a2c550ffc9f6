"""What is to be done to a sound: restyle, fill regions, extend, close a loop, widen its band. Imports no torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clapgen.errors import ClapgenError

KINDS = ("restyle", "fill", "extend", "loop", "upsample")
LONGEST = 30.0  # seconds that the model makes at once
CONTEXT = 4.0  # seconds of the sound on either side of what is made, if it has them
SHORTEST = 0.04  # seconds of a region
LONGEST_SOURCE = 3600.0


@dataclass(frozen=True)
class Edit:
    """How a sound is made out of another, as sidecars record it.

    Attributes:
        path, sha256: the sound, and its content.
        kind: one of `KINDS`.
        strength: 0 to 1; of restyle and upsample, how much is made anew: 1 keeps nothing.
        regions: of fill, (start, end) in seconds.
        before, after: of extend, seconds to add.
        joint: of loop, seconds around the joint that are made anew.
        above: of upsample, Hz above which the sound is made anew.
        like: the condition is the sound itself instead of the prompt.
    """

    path: str
    sha256: str
    kind: str
    strength: float = 0.5
    regions: tuple[tuple[float, float], ...] = ()
    before: float = 0.0
    after: float = 0.0
    joint: float = 1.0
    above: float = 0.0
    like: bool = False

    def span(self, seconds: float) -> tuple[float, float]:
        """The part of a sound of this length that the model works on, from and to in seconds, without what is added.

        Raises:
            ClapgenError: the edit does not fit the sound, or is longer than the model makes at once.
        """
        if seconds < SHORTEST:
            raise ClapgenError(f"{self.path} lasts {seconds * 1000:.0f} ms; an edit needs {SHORTEST * 1000:g} ms.")
        if seconds > LONGEST_SOURCE:
            raise ClapgenError(f"{self.path} lasts {seconds / 60:.0f} minutes; cut out at most an hour to edit.")
        if self.kind == "fill":
            return self._around_regions(seconds)
        if self.kind == "extend":
            return self._at_the_ends(seconds)
        if seconds > LONGEST:
            raise ClapgenError(
                f"{self.path} lasts {seconds:.1f} s; {self.kind} works on at most {LONGEST:g} s: cut it first."
            )
        if self.kind == "loop" and self.joint > seconds / 2:
            raise ClapgenError(f"the joint of a loop can be at most half of the sound ({seconds / 2:.2f} s).")
        return 0.0, seconds

    def _around_regions(self, seconds: float) -> tuple[float, float]:
        for start, end in self.regions:
            if end > seconds + 0.01:
                raise ClapgenError(f"the region {start:g}:{end:g} ends after the sound, which lasts {seconds:.2f} s.")
        first, last = self.regions[0][0], min(seconds, self.regions[-1][1])
        if last - first > LONGEST - 2 * CONTEXT:
            raise ClapgenError(
                f"the regions span {first:g} to {last:g} s; fill at most {LONGEST - 2 * CONTEXT:g} s at once."
            )
        return max(0.0, first - CONTEXT), min(seconds, last + CONTEXT)

    def _at_the_ends(self, seconds: float) -> tuple[float, float]:
        room = LONGEST - self.before - self.after
        if seconds <= room:
            return 0.0, seconds
        if self.before and self.after:
            raise ClapgenError(f"{self.path} lasts {seconds:.1f} s: extend it on one side, then on the other.")
        context = min(seconds, 2 * CONTEXT, room)
        return (0.0, context) if self.before else (seconds - context, seconds)


def checked_edit(value: Any, label: str) -> Edit:
    """An edit out of the values that a sidecar or the command line holds.

    Raises:
        ClapgenError: starting with `label`, if they are something else.
    """
    if isinstance(value, Edit):
        value = dataclasses.asdict(value)
    names = {field.name for field in dataclasses.fields(Edit)}
    if not isinstance(value, Mapping) or not {"path", "sha256", "kind"} <= value.keys() <= names:
        raise ClapgenError(f"{label} must be an object with path, sha256 and kind.")
    if value["kind"] not in KINDS:
        raise ClapgenError(f"{label}: the kind must be one of {', '.join(KINDS)}, not {value['kind']!r}.")
    texts = all(isinstance(value[name], str) for name in ("path", "sha256"))
    if not texts or not isinstance(value.get("like", False), bool):
        raise ClapgenError(f"{label} must be an object with path, sha256 and kind.")
    numbers = {
        name: _number(value[name], f"{label}: {name}")
        for name in ("strength", "before", "after", "joint", "above")
        if name in value
    }
    regions = _regions(value.get("regions", ()), f"{label}: regions")
    edit = Edit(
        value["path"], value["sha256"], value["kind"], regions=regions, like=value.get("like", False), **numbers
    )
    _check_ranges(edit)
    return edit


def _check_ranges(edit: Edit) -> None:
    if not 0 <= edit.strength <= 1:
        raise ClapgenError(f"the strength must be 0 to 1, not {edit.strength:g}.")
    if edit.kind == "fill" and not edit.regions:
        raise ClapgenError("give at least one region to fill, as START:END in seconds.")
    if edit.kind == "extend" and not (edit.before or edit.after):
        raise ClapgenError("give the seconds to add, before or after the sound.")
    if min(edit.before, edit.after) < 0 or edit.before + edit.after > LONGEST - CONTEXT:
        raise ClapgenError(f"a sound can be extended by at most {LONGEST - CONTEXT:g} s at once.")
    if edit.kind == "loop" and not SHORTEST <= edit.joint <= LONGEST:
        raise ClapgenError(f"the joint of a loop must be {SHORTEST:g} to {LONGEST:g} s, not {edit.joint:g}.")
    if edit.kind == "upsample" and not edit.above >= 100:
        raise ClapgenError(f"a sound can be made anew above 100 Hz at the lowest, not above {edit.above:g} Hz.")


def _regions(values: Any, label: str) -> tuple[tuple[float, float], ...]:
    """Sorted, none of them empty, overlapping or negative."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise ClapgenError(f"{label} must be a list of pairs of seconds.")
    found = []
    for value in values:
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
            raise ClapgenError(f"{label} must be a list of pairs of seconds.")
        start, end = (_number(each, label) for each in value)
        if start < 0 or end - start < SHORTEST:
            raise ClapgenError(
                f"the region {start:g}:{end:g} must start at 0 or later and last {SHORTEST * 1000:g} ms or more."
            )
        found.append((start, end))
    found.sort()
    for (_, end), (start, _) in zip(found, found[1:], strict=False):
        if start < end:
            raise ClapgenError(f"two regions overlap at {start:g} s; give them as one.")
    return tuple(found)


def _number(value: Any, label: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ClapgenError(f"{label} must be a number, not {value!r}.")
    return float(value)


def region_of(text: str) -> tuple[float, float]:
    """START:END of the command line, in seconds; ClapgenError if it is something else."""
    start, colon, end = text.partition(":")
    try:
        return float(start), float(end) if colon else float("nan")
    except ValueError:
        raise ClapgenError(f"a region is START:END in seconds, such as 2:3.5, not '{text}'.") from None
