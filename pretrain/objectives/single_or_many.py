"""One sound or several: a first step towards what a scene is made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from clapgen.data.manifest import Clip
from clapgen.training.joined_batch import joined_mean
from pretrain.data.captions import pick
from pretrain.objectives.base import OBJECTIVES, BatchRow, ClapBatch, Objective, cosines
from pretrain.objectives.names import Names

ONE = ("A single sound.", "Only one sound can be heard.", "One sound by itself.", "A recording of one sound.")
MANY = ("Several sounds.", "More than one sound can be heard.", "Different sounds.", "A recording of several sounds.")
UNKNOWN = -1


@OBJECTIVES.register("single-or-many")
class SingleOrMany(Objective):
    """Softmax between a sentence for one sound and one for several (TeminAL A, arXiv 2408.09269).

    Several are mixtures and scenes of different sounds; one is a clip or scene of a single name. Clips of several names
    are left out: these may all be names of one sound. The repetition of a sound is left out, too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names = Names([], "")

    def prepare(self, clips: Sequence[Clip], class_field: str) -> None:
        self.names = Names(clips, class_field)

    def draw(self, rows: Sequence[BatchRow], generator: torch.Generator) -> dict[str, Tensor | list[str]]:
        """`sentences`, for one sound and for several, and `many`, 0 or 1 for each row, or -1 if it is not known."""
        many = torch.tensor([self._many(row) for row in rows])
        return {"sentences": [pick(ONE, generator), pick(MANY, generator)], "many": many}

    def _many(self, row: BatchRow) -> int:
        first, others = row.clips[0], row.clips[1:]
        if any(set(self.names.true_of(clip)).isdisjoint(self.names.possible(first)) for clip in others):
            return 1
        return 0 if not others and len(self.names.true_of(first)) == 1 else UNKNOWN

    def forward(self, batch: ClapBatch) -> Tensor:
        many = batch.extra["many"]
        logits = batch.logit_scale * cosines(batch.audio, batch.extra["sentences"])
        return joined_mean(F.cross_entropy(logits, many.clamp(min=0), reduction="none"), many != UNKNOWN)
