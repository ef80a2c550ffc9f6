"""The sentences of a training batch, as tokens, or as the states of a frozen text tower, computed once each."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from clapgen.clap import Clap
from clapgen.clap.tokenizer import tokenize
from clapgen.devices import has_bfloat16

MOST_STATES = 80_000  # sentences remembered, at about 6 KB each
SENTENCES_AT_ONCE = 256


class Texts:
    """Prepares sentences on the CPU for `project`.

    A frozen tower gives the same states for a sentence at every step, and computing them takes as long as half the
    audio tower: they are looked up, with the tower's weights at the start.
    """

    def __init__(self, clap: Clap, frozen: bool) -> None:
        self.tokenizer, self.max_tokens = clap.tokenizer, clap.max_tokens
        self.tower = copy.deepcopy(clap.text_tower).requires_grad_(False).eval() if frozen else None
        self.known: OrderedDict[str, Tensor] = OrderedDict()

    def prepare(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Inputs of `project`: `mask` (texts, tokens), and `tokens` or, from a frozen tower, `states`."""
        if self.tower is None:
            tokens, mask = tokenize(self.tokenizer, list(texts), self.max_tokens)
            return {"tokens": tokens, "mask": mask}
        missing = sorted({text for text in texts if text not in self.known}, key=len)
        for start in range(0, len(missing), SENTENCES_AT_ONCE):
            self._remember(missing[start : start + SENTENCES_AT_ONCE])
        rows = []
        for text in texts:
            self.known.move_to_end(text)
            rows.append(self.known[text])
        while len(self.known) > MOST_STATES:
            self.known.popitem(last=False)
        lengths = torch.tensor([len(row) for row in rows])
        states = pad_sequence(rows, batch_first=True)
        mask = torch.arange(states.shape[1]) < lengths[:, None]
        return {"states": states, "mask": mask.long()}

    @torch.no_grad()
    def _remember(self, texts: list[str]) -> None:
        assert self.tower is not None
        tokens, mask = tokenize(self.tokenizer, texts, self.max_tokens)
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16(torch.device("cpu"))):
            states = self.tower.states(tokens, mask).bfloat16()
        for text, row, length in zip(texts, states, mask.sum(1).tolist(), strict=True):
            self.known[text] = row[:length].clone()


def project(clap: Clap, texts: dict[str, Tensor]) -> Tensor:
    """What `Texts.prepare` returned, to embeddings (texts, dim) of length 1; differentiable."""
    if "tokens" in texts:
        return clap.project_text(texts["tokens"], texts["mask"])
    states = texts["states"].to(clap.log_logit_scale.dtype)
    return clap.project_states(states, texts["mask"])
