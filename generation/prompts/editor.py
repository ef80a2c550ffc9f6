"""`PromptEditor`: from a short prompt to a caption that says the same, says more, and is familiar to the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clapgen.data.sentences import tidy
from clapgen.embedders import ClapEmbedder
from clapgen.embedders.cache import Array
from clapgen.embedders.store import Store
from clapgen.embedders.text_cache import embed_texts
from clapgen.errors import ClapgenError
from clapgen.metrics.captions.words import tokenize
from clapgen.wording.meaning import content_words, elaborates
from generation.prompts.candidates import around, joined, parts_of, readings
from generation.requests import GenerationRequest

NEIGHBOURS = 10  # captions that familiarity averages over
NEAREST = 50  # captions that a prompt may become, or lend their words
EXEMPLARS = 100  # captions that a rewriter is given, as in Zhang et al. 2023
CHOICES_PER_PART, LARGEST_NUMBER_OF_PARTS = 4, 3  # of a prompt such as "rain, wind and thunder"
SAMPLE = 1000  # captions from which the quarters are computed
DECIMALS = 4  # of scores that are compared: the last bits of an embedding depend on the batch it was computed in

EDITED, FAMILIAR, NO_CAPTION = "edited", "already like a caption", "no caption close enough"

Rewriter = Callable[[str, Sequence[str]], Sequence[str]]


@dataclass(frozen=True)
class PromptEdit:
    """A prompt as typed (`original`) and as it is to be used (`prompt`), and why: one of EDITED, FAMILIAR, NO_CAPTION.

    `familiarity` is the mean cosine to the 10 nearest captions, and `fidelity` the cosine to the prompt as typed, or to
    the nearest of its readings with synonyms; both of the prompt to be used.
    """

    original: str
    prompt: str
    outcome: str
    familiarity: float
    fidelity: float = 1.0

    def __str__(self) -> str:
        return f"{self.original} -> {self.prompt}" if self.outcome == EDITED else f"{self.original}: {self.outcome}"


class PromptEditor:
    """Edits prompts in the context of the captions that a model was trained on, after Zhang et al. 2023 (in-context
    prompt editing) and Chang et al. 2023 (open prompts), without a language model.

    A prompt becomes one of the captions nearest to it, the prompt with the words around its noun in such a caption, or
    what its clauses become, joined. A sentence is considered if its text embedding has a cosine of at least
    `min_fidelity` to the prompt, it says all that the prompt says and adds no other sound (`elaborates`), it says more,
    and it is like a caption. Of these, the one with the highest familiarity + `fidelity_weight` x fidelity is chosen.

    A text is like a caption if it has more words than the shortest quarter of the captions, or as many, and is one of
    them or more familiar than the least familiar quarter. A prompt that is so already stays as it is; an edited prompt
    is so, too.

    Args:
        captions: training captions of the model; embedded once, and cached in `cache`.
        rewriter: is called with a prompt and the nearest captions, the nearest first, and returns sentences that take
            the place of those above. If none of its sentences passes, those above are used.

    Raises:
        ClapgenError: there are no captions.
    """

    def __init__(
        self,
        clap: ClapEmbedder,
        captions: Sequence[str],
        cache: Store | None = None,
        fidelity_weight: float = 1.0,
        min_fidelity: float = 0.8,
        rewriter: Rewriter | None = None,
    ) -> None:
        self.captions = sorted({tidy(caption) for caption in captions} - {""}, key=lambda text: (len(text), text))
        if not self.captions:
            raise ClapgenError("prompts cannot be edited without captions; give some.")
        self.clap, self.rewriter = clap, rewriter
        self.fidelity_weight, self.min_fidelity = fidelity_weight, min_fidelity
        self._embeddings = embed_texts(self.captions, clap, cache)  # (captions, dim)
        self._row = {caption: row for row, caption in enumerate(self.captions)}
        sample = self.captions[:: -(-len(self.captions) // SAMPLE)]
        self._fewest_words = float(np.quantile([len(tokenize(text)) for text in self.captions], 0.25))
        self._least_familiarity = float(np.quantile(self.familiarity(sample), 0.25))

    def edit(self, prompt: str) -> PromptEdit:
        """The prompt to generate from; the same for the same prompt, captions and CLAP."""
        own = float(self.familiarity([prompt])[0])
        unchanged = PromptEdit(prompt, prompt, FAMILIAR, own)
        if self._is_like_caption(prompt, own):
            return unchanged
        rewritten = self.rewriter(prompt, self.nearest(prompt, EXEMPLARS)) if self.rewriter else ()
        best = self.best(prompt, rewritten) or self.best(prompt, self.candidates(prompt))
        return best or replace(unchanged, outcome=NO_CAPTION)

    def nearest(self, prompt: str, count: int = NEAREST) -> list[str]:
        """The captions nearest to a prompt or one of its readings with synonyms, the nearest first."""
        similarity = self._similarity_to(prompt, self._embeddings)
        return [self.captions[row] for row in np.argsort(-similarity, kind="stable")[:count]]

    def candidates(self, prompt: str) -> list[str]:
        """Sentences that a prompt may become, not checked yet."""
        captions = self.nearest(prompt)
        parts, connectives = parts_of(prompt)
        found = [*captions, *(around(prompt, captions) if len(parts) == 1 else [])]
        if 1 < len(parts) <= LARGEST_NUMBER_OF_PARTS and all(parts):
            found += joined([self._choices(part) for part in parts], connectives)
        return list(dict.fromkeys(found))

    def best(self, prompt: str, candidates: Sequence[str], keep_meaning: bool = True) -> PromptEdit | None:
        """The best of some sentences; None if none is fit. `keep_meaning` of false only ranks them."""
        ranked = self._ranked(prompt, candidates, keep_meaning, keep_meaning)
        return ranked[0] if ranked else None

    def familiarity(self, texts: Sequence[str]) -> Array:
        """(texts,), mean cosine of each text to the 10 captions nearest to it, apart from itself."""
        return self._familiarity(texts, self._embed(texts))

    def _familiarity(self, texts: Sequence[str], embedded: Array) -> Array:
        similarity = embedded @ self._embeddings.T
        count = min(NEIGHBOURS, len(self.captions))
        for row, text in enumerate(texts):
            if text in self._row and len(self.captions) > 1:
                similarity[row, self._row[text]] = -np.inf
                count = min(count, len(self.captions) - 1)
        return np.partition(similarity, -count, axis=1)[:, -count:].mean(1)

    def _choices(self, part: str) -> list[str]:
        captions = self.nearest(part)
        ranked = self._ranked(part, [*captions, *around(part, captions)], True, False)
        return [edit.prompt for edit in ranked[:CHOICES_PER_PART]] or [part]

    def _ranked(self, prompt: str, candidates: Sequence[str], same: bool, complete: bool) -> list[PromptEdit]:
        """Those of the candidates that say the `same` and more, and are `complete`, like a caption; the best first."""
        texts = list(dict.fromkeys(tidied for text in candidates if (tidied := tidy(text))))
        if same:
            texts = [text for text in texts if elaborates(prompt, text) and content_words(text) - content_words(prompt)]
        if not texts:
            return []
        embedded = self._embed(texts)
        fidelity = self._similarity_to(prompt, embedded).round(DECIMALS)
        familiarity = self._familiarity(texts, embedded).round(DECIMALS)
        order = np.argsort(-(familiarity + self.fidelity_weight * fidelity).round(DECIMALS), kind="stable")
        edits = [
            PromptEdit(prompt, texts[row], EDITED, float(familiarity[row]), float(fidelity[row]))
            for row in order
            if not same or fidelity[row] >= self.min_fidelity
        ]
        return [edit for edit in edits if not complete or self._is_like_caption(edit.prompt, edit.familiarity)]

    def _is_like_caption(self, text: str, familiarity: float) -> bool:
        is_familiar = text in self._row or familiarity >= self._least_familiarity
        return is_familiar and len(tokenize(text)) >= self._fewest_words

    def _similarity_to(self, prompt: str, embedded: Array) -> Array:
        """(rows,), cosine of each row to the nearest reading of the prompt."""
        return (embedded @ self._embed(readings(prompt)).T).max(1)

    def _embed(self, texts: Sequence[str]) -> Array:
        known = [self._row.get(text) for text in texts]
        new = embed_texts([text for text, row in zip(texts, known, strict=True) if row is None], self.clap)
        rows = iter(new)
        return np.stack([next(rows) if row is None else self._embeddings[row] for row in known])


def edited(
    requests: Sequence[GenerationRequest], editor: PromptEditor
) -> tuple[list[GenerationRequest], list[PromptEdit]]:
    """The requests with their prompts edited, each keeping the one as typed, and the edit of each distinct prompt.

    Requests that have an original prompt were edited before, and those with a mix do not use their prompt: both stay
    as they are.
    """
    typed = {request: None for request in requests if request.original_prompt is None and not request.mix}
    edits = {prompt: editor.edit(prompt) for prompt in dict.fromkeys(request.prompt for request in typed)}
    return [
        replace(request, prompt=edits[request.prompt].prompt, original_prompt=request.prompt)
        if request in typed
        else request
        for request in requests
    ], list(edits.values())
