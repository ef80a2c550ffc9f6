"""Frame-wise contrast: in which frames of a scene is each sound?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from clapgen.data.manifest import Clip
from clapgen.errors import ClapgenError
from clapgen.training.joined_batch import joined_mean
from pretrain.data.captions import caption_from_labels
from pretrain.objectives.base import OBJECTIVES, BatchRow, ClapBatch, Objective, cosines, require_at_least
from pretrain.objectives.names import Names


@OBJECTIVES.register("frames")
class Frames(Objective):
    """Binary classification of every frame and query with logit adjustment (FLAM, Wu et al. 2025, arXiv 2505.05335).

    h = alpha(query) cos(frame, query) + beta(query), with the CLAP's frame head. `frames` is the mean of -log σ(z h)
    over frames and queries, z = 1 where the sound is and -1 elsewhere; beta gets no gradient from it. `prior` is the
    binary cross-entropy of σ(beta) against the share of frames in which the query sounds, which trains only beta.
    The text tower gets no gradient through alpha and beta: they describe a query, and must not change what it means.

    Queries are prompts for the names of the scenes' clips and `absent` other names. Only scenes count: elsewhere it is
    not known when something sounds. A query that may be true of a scene in other words is left out there.
    The paper weighs `frames` 200 times as much as the contrast of whole clips.
    """

    def __init__(self, absent: int = 16) -> None:
        super().__init__()
        require_at_least(1, absent=absent)
        self.absent = absent
        self.names = Names([], "")

    def prepare(self, clips: Sequence[Clip], class_field: str) -> None:
        self.names = Names(clips, class_field)

    def draw(self, rows: Sequence[BatchRow], generator: torch.Generator) -> dict[str, Tensor | list[str]]:
        """`queries`; `spans` (spans, 4), each a row, a query, and its start and end in seconds; and `known`
        (rows, queries), whether it is certain when the query sounds in the row."""
        scenes = {i: row for i, row in enumerate(rows) if row.scene}
        present = dict.fromkeys(n for row in scenes.values() for clip in row.clips for n in self.names.true_of(clip))
        order = torch.randperm(len(self.names.names), generator=generator).tolist()
        queries = [*present, *[number for number in order if number not in present][: self.absent]]
        if not queries:
            return {}
        places = {number: place for place, number in enumerate(queries)}
        known = torch.zeros(len(rows), len(queries), dtype=torch.bool)
        spans = []
        for i, row in scenes.items():
            assert row.scene
            known[i] = True
            for event, clip in zip(row.scene.events, row.clips, strict=True):
                own = self.names.true_of(clip)
                spans += [(i, places[n], event.start, event.end) for n in own]
                known[i, [places[n] for n in self.names.possible(clip) - set(own) if n in places]] = False
        return {
            "queries": [caption_from_labels([self.names.names[n]], generator) for n in queries],
            "spans": torch.tensor(spans).reshape(-1, 4),
            "known": known,
        }

    def forward(self, batch: ClapBatch) -> Tensor | dict[str, Tensor]:
        head, rate = batch.frame_head, batch.frame_rate
        if head is None:
            raise ClapgenError("the objective 'frames' trains a frame head; set clap.frame_head=true")
        if not self.names.names:
            return {}
        queries, known = batch.extra["queries"], batch.extra["known"][:, None]
        truth = frame_truth(batch.extra["spans"], len(batch.rows), len(queries), batch.frames.shape[1], rate)
        with torch.autocast(queries.device.type, enabled=False):
            fixed = queries.detach().float()
            alpha, beta = head.alpha(fixed), head.beta(fixed)
            log_odds = alpha * cosines(batch.frames, queries) + beta.detach()
            frames = F.binary_cross_entropy_with_logits(log_odds, truth, reduction="none")
            prior = F.binary_cross_entropy_with_logits(beta.expand_as(truth), truth, reduction="none")
        return {"frames": joined_mean(frames, known), "prior": joined_mean(prior, known)}


def frame_truth(spans: Tensor, rows: int, queries: int, frames: int, rate: float) -> Tensor:
    """1 where a query sounds and 0 elsewhere, (rows, frames, queries), from spans as `Frames.draw` returns them.

    Frame k is the time from (k - 1/2) / rate to (k + 1/2) / rate. A sound is in it if it fills half of it or, if it is
    shorter than a frame, if half of the sound is in it: every sound is in at least one frame.
    """
    starts, ends = spans[:, 2, None], spans[:, 3, None]
    middle = torch.arange(frames, device=spans.device) / rate
    shared = torch.minimum(ends, middle + 0.5 / rate) - torch.maximum(starts, middle - 0.5 / rate)
    sounds = shared >= 0.5 * (ends - starts).clamp(max=1 / rate) - 1e-6
    truth = spans.new_zeros(rows * queries, frames)
    truth.index_add_(0, (spans[:, 0] * queries + spans[:, 1]).long(), sounds.to(spans.dtype))
    return truth.clamp(max=1.0).view(rows, queries, frames).mT
