"""Text views: several wordings of a caption are all positives of its sound, and of each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional as F

from clapgen.training.joined_batch import gather_rows
from pretrain.data.captions import pick
from pretrain.data.paraphrase import paraphrases
from pretrain.objectives.base import OBJECTIVES, BatchRow, ClapBatch, Objective, cosines, require_at_least
from pretrain.objectives.infonce import group_targets


@OBJECTIVES.register("text-views")
class TextViews(Objective):
    """Contrast of a sound with each of V wordings, and of the wordings with each other (RobustCLAP, arXiv 2410.16505).

    L = mean_v C(audio, text_v) + consistency * mean_{v < w} C(text_v, text_w), where C is soft-infonce. The paper does
    not give its formula; this is ours.
    The first view is the row's text. The other `count` are paraphrases of it; with `captions`, the last one is instead
    another caption of the scene or clip, if it has any.
    """

    contrastive = True

    def __init__(self, count: int = 2, consistency: float = 0.5, captions: bool = True) -> None:
        super().__init__()
        require_at_least(1, count=count)
        require_at_least(0, consistency=consistency)
        self.count, self.consistency, self.captions = count, consistency, captions

    def draw(self, rows: Sequence[BatchRow], generator: torch.Generator) -> dict[str, Tensor | list[str]]:
        """Sentences `view_1`, `view_2`, …, one for each row."""
        views = [self._views(row, generator) for row in rows]
        return {f"view_{number + 1}": [own[number] for own in views] for number in range(self.count)}

    def _views(self, row: BatchRow, generator: torch.Generator) -> list[str]:
        views = paraphrases(row.caption, self.count, generator)
        known = row.scene.captions if row.scene else row.clips[0].captions if len(row.clips) == 1 else ()
        others = [caption for caption in known if caption.strip() and caption.strip() != row.caption]
        return [*views[:-1], pick(others, generator).strip()] if self.captions and others else views

    def forward(self, batch: ClapBatch) -> dict[str, Tensor]:
        targets = group_targets(batch)
        views = [batch.text, *(batch.extra[f"view_{number + 1}"] for number in range(self.count))]
        everyone = [batch.all_text, *map(gather_rows, views[1:])]

        def contrast(one: Tensor, other: Tensor, all_one: Tensor, all_other: Tensor) -> Tensor:
            forth = F.cross_entropy(batch.logit_scale * cosines(one, all_other), targets)
            return (forth + F.cross_entropy(batch.logit_scale * cosines(other, all_one), targets)) / 2

        audio = [contrast(batch.audio, v, batch.all_audio, w) for v, w in zip(views, everyone, strict=True)]
        pairs = combinations(range(len(views)), 2)
        text = [contrast(views[v], views[w], everyone[v], everyone[w]) for v, w in pairs]
        return {"audio": torch.stack(audio).mean(), "text": self.consistency * torch.stack(text).mean()}
