"""The rows of a training batch: which clips, mixtures and scenes, with what caption, and how they sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from clapgen.data.audio_cache import AudioCache
from clapgen.data.manifest import Clip
from clapgen.data.splits import clips_having
from clapgen.errors import ClapgenError
from clapgen.scenes import SceneOptions, SceneSampler, scene_clips
from clapgen.scenes.manifest import scene_of
from clapgen.training.joined_batch import joined_index, process_rank
from pretrain.data import captions
from pretrain.data.sounds import Sounds, epoch_rows, partners
from pretrain.objectives import BatchRow


@dataclass
class SceneConfig(SceneOptions):
    """Scenes composed while training: `share` of the rows, each followed by its twin; the rest as in `SceneOptions`."""

    share: float = 0.0


LONGER = 0.01  # seconds by which a scene may exceed the window


@dataclass
class DrawnRows:
    """The rows of a batch, and what they sound like.

    Attributes:
        rows: What each is made of: clips and mixtures first, then scenes.
        inputs: "crops" and "scenes", if there are any: log-mels (rows, n_mels, frames), each as long as they are.
        groups: (rows,) integers; rows with the same number are positives of each other.
        single: Number of the clip, for each row that is one clip alone; -1 for others. (rows,)
        middles: (rows,), the middle of the crop in its clip in seconds; NaN for all of a clip, and for other rows.
    """

    rows: list[BatchRow]
    inputs: dict[str, Tensor]
    groups: Tensor
    single: Tensor
    middles: Tensor


class RowMaker:
    """Draws the rows of batches from the clips of a cache.

    Clips that are scenes themselves (`clapgen pretrain simulate`) are neither cropped nor mixed.

    Args:
        positives: "labels" or "recording": which clips are positives of each other.
        class_field: key of the manifest that holds a clip's class.
        window: of the model, in seconds.
        repeats: "FIELD=VALUE" of the manifest: how many times an epoch has each clip with it; once by default.

    Raises:
        ClapgenError: scenes are wanted, and the clips are too few or too much alike for them; their share is not from 0
            to 1; a scene among the clips is longer than the window; no clip has a value of `repeats`.
    """

    def __init__(
        self,
        data: AudioCache,
        sounds: Sounds,
        scenes: SceneConfig,
        window: float,
        positives: str = "labels",
        class_field: str = "",
        seed: int = 0,
        repeats: Mapping[str, int] | None = None,
    ) -> None:
        if not 0 <= scenes.share <= 1:
            raise ClapgenError(f"scenes.share is a share of the rows, from 0 to 1, not {scenes.share:g}")
        self.data, self.sounds, self.share, self.seed = data, sounds, scenes.share, seed
        self.epoch = epoch_of(data.clips, repeats or {})
        self.groups = group_numbers(data.clips, positives)
        scenes_of_clips = ((index, scene_of(clip)) for index, clip in enumerate(data.clips))
        self.given = {index: scene for index, scene in scenes_of_clips if scene}
        for index, scene in self.given.items():
            if scene.duration > window + LONGER:
                raise ClapgenError(
                    f"{data.clips[index].path} is a scene of {scene.duration:.3g} s, and the window is {window:g} s: "
                    f"its captions name what is cut off; compose it with `clapgen pretrain simulate --seconds "
                    f"{window:g}`"
                )
        self.sampler: SceneSampler | None = None
        if scenes.share and len(self.given) == len(data.clips):
            raise ClapgenError("all clips are scenes already, of which no others are composed: set scenes.share=0")
        if scenes.share:
            facts = scene_clips(data, class_field)
            facts = [replace(fact, names=()) if i in self.given else fact for i, fact in enumerate(facts)]  # left out
            self.sampler = SceneSampler(facts, scenes, window)

    def draw(self, index: int, size: int, short: bool, generator: Generator) -> DrawnRows:
        """`size` rows of batch number `index` of this process; short crops or whole windows."""
        scenes = round(size * self.share)
        places = epoch_rows(joined_index(index), size - scenes, len(self.epoch), self.seed)
        chosen = [self.epoch[place] for place in places]
        first = [clip for clip in chosen if clip not in self.given]
        inputs: dict[str, Tensor] = {}
        members: list[tuple[int, ...]] = []
        middles = torch.zeros(0)
        if first:
            second = partners(first, len(self.data), generator, never=self.given)
            inputs["crops"], mixed, middles = self.sounds.batch(first, second, short, generator)
            members = [(a, b) if m else (a,) for a, b, m in zip(first, second, mixed.tolist(), strict=True)]
        rows = [BatchRow(self._clips(row), self._caption(row, generator)) for row in members]
        given = [clip for clip in chosen if clip in self.given]
        rows += [BatchRow(self._sounding(c), self._caption([c], generator), self.given[c]) for c in given]
        composed = self._composed(scenes, len(rows), generator)
        log_mels = [self.sounds.whole(clip) for clip in given]
        log_mels += [self.sounds.scene(row.scene) for row in composed if row.scene]
        if log_mels:
            inputs["scenes"] = self.sounds.disturbed(torch.stack(log_mels), generator)
        members += [(clip,) for clip in given]
        strangers = [-1 - process_rank() * size - row for row in range(len(composed))]  # positives of nobody
        groups = torch.tensor([*(self._group(*row) for row in members), *strangers])
        single = torch.tensor([row[0] if len(row) == 1 else -1 for row in members] + [-1] * len(composed))
        middles = torch.cat([middles, torch.full((len(single) - len(middles),), float("nan"))])
        return DrawnRows(rows + composed, inputs, groups, single, middles)

    def _clips(self, row: Sequence[int]) -> tuple[Clip, ...]:
        return tuple(self.data.clips[i] for i in row)

    def _sounding(self, clip: int) -> tuple[Clip, ...]:
        """A clip for each event of a clip that is a scene; the captions are about all events, not about one."""
        scene, whole = self.given[clip], self.data.clips[clip]
        return tuple(replace(whole, labels=[event.label], captions=[]) for event in scene.events)

    def _composed(self, count: int, start: int, generator: Generator) -> list[BatchRow]:
        """`count` rows from `start` on: scenes, each followed by its twin if it has one and there is room."""
        rows: list[BatchRow] = []
        while self.sampler and len(rows) < count:
            scene = self.sampler.draw(generator)
            pair = [scene]
            if scene.twins and len(rows) + 2 <= count:
                pair.append(captions.pick(scene.twins, generator))
            numbers = [start + len(rows) + 1, start + len(rows)]
            for one, twin in zip(pair, numbers, strict=False):
                clips = self._clips([event.clip for event in one.events])
                caption = captions.pick(one.captions, generator)
                rows.append(BatchRow(clips, caption, one, twin if len(pair) == 2 else None))
        return rows

    def _caption(self, row: Sequence[int], generator: Generator) -> str:
        texts = [captions.choose_caption(self.data.clips[i], generator) for i in row]
        return captions.join_captions(texts[0], texts[1], generator) if len(texts) == 2 else texts[0]

    def _group(self, first: int, second: int | None = None) -> int:
        """A number that a mixture shares only with mixtures of the same two groups."""
        if second is None:
            return self.groups[first]
        one, other = sorted((self.groups[first], self.groups[second]))
        return len(self.data) * (other + 1) + one


def epoch_of(clips: Sequence[Clip], repeats: Mapping[str, int]) -> list[int]:
    """The numbers of the clips in an epoch, some of them several times."""
    times = [1] * len(clips)
    for condition, count in repeats.items():
        if count < 1:
            raise ClapgenError(f"repeats: {condition} must be at least 1, not {count}")
        for index in clips_having(clips, [condition]):
            times[index] = max(times[index], count)
    return [index for index, count in enumerate(times) for _ in range(count)]


def group_numbers(clips: Sequence[Clip], positives: str) -> list[int]:
    """The same number for clips with the same labels, or of one recording (also if they have no labels)."""
    by_labels = positives == "labels"
    keys = ["|".join(sorted(c.labels)) if by_labels and c.labels else c.recording or str(c.path) for c in clips]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return [numbers[key] for key in keys]
