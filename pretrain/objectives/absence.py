"""Absence: sentences that deny a sound, and sentences with one sound too many."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from clapgen.data.manifest import Clip
from clapgen.training.joined_batch import joined_mean
from clapgen.wording.grammar import join_labels
from pretrain.data.captions import caption_from_labels, join_captions, pick
from pretrain.objectives.base import OBJECTIVES, BatchRow, ClapBatch, Objective, require_share
from pretrain.objectives.names import Names
from pretrain.objectives.row_sentences import pack, unpack

# What is denied, and the same said of it as if it were there. None has a word of `clapgen.scenes.forms.HELD_OUT_WORDS`.
DENIALS = (
    ("There is no {name}.", "There is {name}."),
    ("No {name}.", "{name}."),
    ("No sound of {name} can be heard.", "The sound of {name} can be heard."),
    ("A recording that lacks {name}.", "A recording that has {name}."),
    ("{name} cannot be heard.", "{name} can be heard."),
    ("{name} is absent.", "{name} is present."),
    ("{name} is missing here.", "{name} is here."),
    ("Free of {name}.", "Full of {name}."),
    ("A sound with no {name} at all.", "A sound with {name}."),
    ("Nothing like {name}.", "Something like {name}."),
    ("Anything but {name}.", "Nothing but {name}."),
    ("A recording that does not contain {name}.", "A recording that contains {name}."),
    ("One does not hear any {name}.", "One hears {name}."),
    ("{caption}, lacking {name}.", "{caption}, including {name}."),
    ("{caption}; there is no {name}.", "{caption}; there is {name}."),
    ("{caption}, but no {name}.", "{caption}, and {name}."),
)
SENTENCES = ("absent", "denied", "claimed", "added")


@OBJECTIVES.register("absence")
class Absence(Objective):
    """What is not there (after LISTEN, Kuan & Lee 2025, arXiv 2505.14518, which trains a language model with answers).

    For a row in which the sound p is and the sound x is not, with logits l of the row's sound, the mean of:
    `denial`, -log σ(l("no x") - l("no p")) and -log σ(l("no x") - l("x")), halved;
    `added`, -log σ(l(caption) - l("caption and x")).
    p is one of the names of the row's clips; x a random name that is neither true of them nor possible. Rows without
    names are left out, and of the others all but a random `share`, as each needs four sentences.
    """

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        require_share(share=share)
        self.share = share
        self.names = Names([], "")

    def prepare(self, clips: Sequence[Clip], class_field: str) -> None:
        self.names = Names(clips, class_field)

    def draw(self, rows: Sequence[BatchRow], generator: torch.Generator) -> dict[str, Tensor | list[str]]:
        """A sentence of each kind in `SENTENCES` for each row that takes part."""
        chosen = torch.rand(len(rows), generator=generator) < self.share
        drawn = [self._sentences(row, generator) if take else () for row, take in zip(rows, chosen, strict=True)]
        result: dict[str, Tensor | list[str]] = {}
        for number, kind in enumerate(SENTENCES):
            result |= pack(kind, [[sentences[number]] if sentences else [] for sentences in drawn], 1)
        return result

    def _sentences(self, row: BatchRow, generator: torch.Generator) -> tuple[str, ...]:
        present = sorted({number for clip in row.clips for number in self.names.true_of(clip)})
        possible = frozenset().union(*map(self.names.possible, row.clips))
        absent = [number for number in range(len(self.names.names)) if number not in possible]
        if not present or not absent:
            return ()
        there, not_there = (join_labels([self.names.names[pick(n, generator)]]) for n in (present, absent))
        denial, claim = pick(DENIALS, generator)
        caption = row.caption.strip().rstrip(".!?;, ")

        def say(form: str, name: str) -> str:
            sentence = form.format(caption=caption, name=name)
            return sentence[0].upper() + sentence[1:]

        added = join_captions(row.caption, caption_from_labels([not_there], generator), generator)
        return say(denial, not_there), say(denial, there), say(claim, not_there), added

    def forward(self, batch: ClapBatch) -> dict[str, Tensor]:
        (absent, exists), (denied, _), (claimed, _), (added, _) = (unpack(kind, batch) for kind in SENTENCES)

        def beats(right: Tensor, wrong: Tensor) -> Tensor:
            # the difference first: these sentences are near to each other
            return F.softplus(batch.logit_scale * (batch.audio * (wrong - right)).sum(1))

        denial = (beats(absent[:, 0], denied[:, 0]) + beats(absent[:, 0], claimed[:, 0])) / 2
        more = beats(batch.text, added[:, 0])
        return {"denial": joined_mean(denial, exists[:, 0]), "added": joined_mean(more, exists[:, 0])}
