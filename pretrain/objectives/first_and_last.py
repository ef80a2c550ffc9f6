"""First and last: which sound of a sequence comes first, and which last, can be read off sound and text in one way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clapgen.data.manifest import Clip
from clapgen.training.joined_batch import joined_mean
from pretrain.data.captions import caption_from_labels
from pretrain.objectives.base import OBJECTIVES, BatchRow, ClapBatch, Objective, cosines, require_at_least
from pretrain.objectives.names import Names

PLACES = ("first", "last")


@OBJECTIVES.register("first-and-last")
class FirstAndLast(Objective):
    """Two fixed rotations of the space, F and L, shared by audio and text: F(x) is classified among prompts as the
    first sound of a sequence, L(x) as its last.

    The contrast of a scene with its twin alone starts at a saddle point: where neither side encodes order, neither
    gets a gradient for it. Here each side is taught on its own, and the shared rotations put the order of both into the
    same directions, where contrast can use it. A random rotation is nearly orthogonal to the space as it is, so that a
    sum holds what sounds, what is first and what is last side by side: the roles and fillers of holographic reduced
    representations (Plate 1995). Learned maps that start alike would be a saddle point again. The classification is
    that of prompt-classification: names that are true or possible do not compete. Up to `absent` names that no scene
    has also take part.
    """

    def __init__(self, absent: int = 64) -> None:
        super().__init__()
        require_at_least(1, absent=absent)
        self.absent = absent
        self.names = Names([], "")
        self.maps = nn.ModuleDict()

    def prepare(self, clips: Sequence[Clip], class_field: str) -> None:
        self.names = Names(clips, class_field)

    def set_widths(self, dim: int, features: int, teachers: Mapping[str, int]) -> None:
        for place in PLACES:
            rotation = nn.Linear(dim, dim, bias=False).requires_grad_(False)
            nn.init.orthogonal_(rotation.weight)
            self.maps[place] = rotation

    def draw(self, rows: Sequence[BatchRow], generator: torch.Generator) -> dict[str, Tensor | list[str]]:
        """`queries`; for each place `first` and `last`, the true query (rows,), or -1; and `rivals` (rows, queries, 2),
        which queries compete with it."""
        ends = {i: self._ends(row) for i, row in enumerate(rows)}
        present = dict.fromkeys(n for pair in ends.values() for clip in pair for n in self.names.true_of(clip)[:1])
        order = torch.randperm(len(self.names.names), generator=generator).tolist()
        queries = [*present, *[number for number in order if number not in present][: self.absent]]
        if not queries:
            return {}
        place_of = {number: place for place, number in enumerate(queries)}
        truth = torch.full((len(rows), 2), -1)
        rivals = torch.ones(len(rows), len(queries), 2, dtype=torch.bool)
        for i, pair in ends.items():
            for end, clip in enumerate(pair):
                if true := self.names.true_of(clip):
                    truth[i, end] = place_of[true[0]]
                    rivals[i, [place_of[n] for n in self.names.possible(clip) if n in place_of], end] = False
        prompts = [caption_from_labels([self.names.names[n]], generator) for n in queries]
        return {"queries": prompts, "truth": truth, "rivals": rivals}

    def _ends(self, row: BatchRow) -> tuple[Clip, ...]:
        """The clips of the first and the last event of a sequence."""
        if row.scene is None or row.scene.relation != "sequence":
            return ()
        by_start = sorted(zip(row.scene.events, row.clips, strict=True), key=lambda pair: pair[0].start)
        return by_start[0][1], by_start[-1][1]

    def forward(self, batch: ClapBatch) -> Tensor | dict[str, Tensor]:
        if not self.names.names:
            return {}
        truth, rivals = batch.extra["truth"], batch.extra["rivals"]
        losses: dict[str, Tensor] = {}
        for side, embeddings in (("audio", batch.audio), ("text", batch.text)):
            surprises = []
            for end, place in enumerate(PLACES):
                with torch.autocast(embeddings.device.type, enabled=False):  # as in `cosines`
                    mapped = F.normalize(self.maps[place](embeddings.float()), dim=1)
                logits = batch.logit_scale * cosines(mapped, batch.extra["queries"])
                true = logits.gather(1, truth[:, end, None].clamp(min=0))
                others = logits.masked_fill(~rivals[..., end], float("-inf")).logsumexp(1, keepdim=True)
                surprises.append(F.softplus(others - true))
            losses[side] = joined_mean(torch.cat(surprises, 1), truth >= 0)
        return losses
