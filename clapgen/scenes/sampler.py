"""Draws scenes from clips: quickly, and as a pure function of a torch.Generator."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

import torch

from clapgen.data.splits import some
from clapgen.data.text import label_key
from clapgen.errors import ClapgenError
from clapgen.scenes.clips import Differences, SceneClip
from clapgen.scenes.draws import Draws
from clapgen.scenes.kinds import BRIEF, COUNTS, GAPS, KINDS, LONG
from clapgen.scenes.phrases import Phrases, countable, phrases_of
from clapgen.scenes.scene import Scene
from clapgen.scenes.stage import SHORTEST, SceneOptions, Stage

logger = logging.getLogger(__name__)

_TRIES = 60  # random draws of a clip before all are looked at
_LONGEST_REPEATED = 1.2  # seconds
_MANY = ("sequence", "overlap", "background")  # kinds of several sounds


class SceneSampler:
    """Draws scenes (simulation after arXiv 2403.04594, CompA and FLAM) of clips that are not longer than a window.

    Rare names are drawn more often than their share: in proportion to the square root of how many clips have them.

    Args:
        clips: what scenes are made of; `Event.clip` is a number in this list.
        options: what kinds, how often.
        window: seconds of the longest scene, 1 to 60.

    Attributes:
        skipped: Numbers of the clips that no scene uses: shorter than 50 ms, or without a name.

    Raises:
        ClapgenError: an option out of range; no usable clip; one sound only, while the options ask for several; all
            captions are the same.
    """

    def __init__(self, clips: Sequence[SceneClip], options: SceneOptions | None = None, window: float = 5.0) -> None:
        self.clips, self.options, self.window = clips, options or SceneOptions(), window
        self._weights = _weights(self.options)
        if not 1 <= window <= 60:
            raise ClapgenError(f"the window of scenes must be 1 to 60 seconds, not {window:g}.")
        self.skipped = [i for i, clip in enumerate(clips) if clip.seconds < SHORTEST or not clip.names]
        usable = sorted(set(range(len(clips))) - set(self.skipped))
        if not usable:
            raise ClapgenError("no clip can be used in scenes: each needs a label, and at least 50 ms of sound.")
        self._differences = Differences(clips)
        self._check_variety(usable)
        self._phrases: dict[tuple[int, str], Phrases] = {}
        self._alike: dict[tuple[str, ...], list[int]] = {}
        longest = min(_LONGEST_REPEATED, (window + GAPS[0]) / COUNTS[0] - GAPS[0])
        short = [i for i in usable if clips[i].seconds <= longest and countable(clips[i])]
        for index in short:
            self._alike.setdefault(clips[index].names, []).append(index)
        lasting = [i for i in usable if not BRIEF[1] < clips[i].seconds < LONG]
        by_kind = {"repeated": short, "duration": lasting if window >= LONG else []}
        pools = {kind: _Pool(clips, by_kind.get(kind, usable)) for kind in (*KINDS, "any")}
        self._pools = {kind: pool for kind, pool in pools.items() if pool.indices}
        self._members = {kind: set(pool.indices) for kind, pool in self._pools.items()}
        for kind in [kind for kind, weight in self._weights.items() if weight and kind not in self._pools]:
            logger.warning("no clip fits scenes of the kind %s; none are drawn", kind)
            self._weights[kind] = 0.0
        if not any(self._weights.values()):
            raise ClapgenError("no clip fits any of the kinds of scenes that were asked for; ask for others.")

    def _check_variety(self, usable: Sequence[int]) -> None:
        names = {label_key(self.clips[i].names[0]) for i in usable}
        several = any(self._differences.differ(usable[0], i) for i in usable) or any(
            self._differences.differ(a, b) for a in usable[:200] for b in usable
        )
        if not several and any(self._weights[kind] for kind in _MANY):
            what = f"only the label '{min(names)}'" if len(names) == 1 else "no two clips that are different sounds"
            raise ClapgenError(
                f"the clips have {what}; sequences and mixtures need two: add clips, or ask for the kinds single, "
                "repeated, duration and distance alone."
            )
        captions = {caption for i in usable for caption in self.clips[i].captions}
        if len(captions) == 1 and len(names) > 1:
            raise ClapgenError(
                f"all clips have the same caption, '{min(captions)[:60]}': it cannot tell {len(names)} labels apart; "
                "remove the captions to have sentences made from the labels."
            )

    def draw(self, generator: torch.Generator, *, kind: str | None = None, first: int | None = None) -> Scene:
        """One scene.

        Args:
            kind: one of `KINDS`; drawn by weight if None.
            first: number of a clip that the scene must contain; if it does not fit a kind, another kind is drawn.

        Raises:
            ClapgenError: the kind is unknown, or not possible with these clips; `first` is not usable.
        """
        draws = Draws(generator)
        if kind is not None and kind not in self._pools:
            raise ClapgenError(f"no scenes of the kind '{kind}' can be drawn from these clips.")
        if first is not None and first not in self._members["any"]:
            raise ClapgenError(f"clip {first} is too short for scenes, or has no label.")
        weights = self._weights if kind is None else {kind: 1.0}
        for _ in range(_TRIES):
            chosen = self._kind(draws, weights, first)
            if chosen is None:
                break
            clip = self._pools[chosen].draw(draws) if first is None else first
            if scene := KINDS[chosen](self._stage(draws, chosen, clip)):
                return scene
        if kind is not None:
            raise ClapgenError(f"no scene of the kind '{kind}' can be drawn from these clips.")
        clip = self._pools["any"].draw(draws) if first is None else first
        scene = KINDS["single"](self._stage(draws, "single", clip))
        assert scene is not None  # one sound always fits
        return scene

    def _kind(self, draws: Draws, weights: dict[str, float], first: int | None) -> str | None:
        possible = {k: w for k, w in weights.items() if w and (first is None or first in self._members[k])}
        if not possible:
            return None
        sums = list(accumulate(possible.values()))
        return list(possible)[bisect_right(sums, draws.share() * sums[-1])]

    def _stage(self, draws: Draws, kind: str, first: int) -> Stage:
        def phrases(clip: int) -> Phrases:
            if (clip, kind) not in self._phrases:
                self._phrases[clip, kind] = phrases_of(self.clips[clip], kind)
            return self._phrases[clip, kind]

        def another(clips: Sequence[int]) -> int | None:
            return self._another(draws, clips)

        def alike(clip: int) -> int:
            return draws.pick(self._alike[self.clips[clip].names])

        return Stage(draws, first, self.window, self.options, another, alike, phrases, self.clips.__getitem__)

    def _another(self, draws: Draws, clips: Sequence[int]) -> int | None:
        differ, pool = self._differences.differ, self._pools["any"]
        for _ in range(_TRIES):
            found = pool.draw(draws)
            if all(differ(found, clip) for clip in clips):
                return found
        fitting = [found for found in pool.indices if all(differ(found, clip) for clip in clips)]
        return draws.pick(fitting) if fitting else None


class _Pool:
    """Clips to draw from, each with the weight 1/√(number of clips of its name)."""

    def __init__(self, clips: Sequence[SceneClip], indices: Sequence[int]) -> None:
        self.indices = indices
        counts = Counter(clips[index].names[0] for index in indices)
        self._sums = list(accumulate(counts[clips[index].names[0]] ** -0.5 for index in indices))

    def draw(self, draws: Draws) -> int:
        return self.indices[min(bisect_right(self._sums, draws.share() * self._sums[-1]), len(self.indices) - 1)]


def _weights(options: SceneOptions) -> dict[str, float]:
    weights = {kind: float(getattr(options, kind)) for kind in KINDS}
    if min(weights.values()) < 0 or not any(weights.values()):
        raise ClapgenError("the weights of the kinds of scenes must not be negative, and one must be above 0.")
    for name in ("three", "absence", "plain"):
        if not 0 <= getattr(options, name) <= 1:
            raise ClapgenError(f"{name} is a share of scenes, from 0 to 1, not {getattr(options, name):g}.")
    if options.captions < 2 or options.negatives < 0:
        raise ClapgenError("scenes need at least 2 captions and no less than 0 negatives.")
    return weights


def name_skipped(sampler: SceneSampler, names: Sequence[str]) -> str:
    """One line about the clips that a sampler skips; "" if there are none. `names` are those of all its clips."""
    if not sampler.skipped:
        return ""
    which = some([names[index] for index in sampler.skipped])
    left_out = f"skipped: {len(sampler.skipped)} of {len(names)} clips"
    return f"{left_out}, shorter than 50 ms, silent or without a label: {which}"
