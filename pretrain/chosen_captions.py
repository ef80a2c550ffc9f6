"""Captions chosen by CLAP: several candidates for each clip, of which those are kept that agree with its sound.

After AudioSetCaps (Bai et al. 2024, arXiv 2411.18953): make several captions, let a CLAP compare them with the sound,
refine, keep the best. A clause is dropped if the rest agrees better without it. A CLAP prefers some lengths to others,
no matter what the captions say: a candidate is therefore judged by how far its cosine is above those of other captions
with the same number of words and the same sound.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from clapgen.data.manifest import Clip
from clapgen.errors import ClapgenError
from clapgen.evaluation.context import EvaluationContext, row_of_path
from pretrain.data.label_sentences import sentences_from_labels
from pretrain.data.paraphrase import paraphrases

Array = npt.NDArray[np.float32]
EmbedTexts = Callable[[list[str]], Array]

ROUNDS = 2  # of dropping clauses
POOL = 2000  # captions that candidates are compared with
SMALLEST_GROUP = 8  # captions of about the same length
_JOINT = re.compile(r",? (?:and then|followed by|and|while|with|as|then) |, ")


@dataclass(frozen=True)
class CaptionChoice:
    """How captions are made and chosen.

    Attributes:
        candidates: Made for each clip from each source: labels, paraphrases, and a captioner if there is one.
        keep: The most that are kept.
        from_labels: Make them from the labels alone, as if the clips had no captions.
        seed: Of the candidates.
    """

    candidates: int = 8
    keep: int = 3
    from_labels: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Candidate:
    """A caption; `source` is labels, caption, paraphrase or captioner; `dropped` the clauses it lost."""

    text: str
    source: str
    dropped: tuple[str, ...] = ()
    cosine: float = 0.0
    z: float = 0.0

    def provenance(self) -> dict[str, Any]:
        """Where the caption comes from, and how well it agrees, for a manifest."""
        dropped = {"dropped": list(self.dropped)} if self.dropped else {}
        return {"from": self.source, "cosine": round(self.cosine, 4), "z": round(self.z, 2), **dropped}


def make_candidates(clip: Clip, number: int, choice: CaptionChoice, proposed: Sequence[str] = ()) -> list[Candidate]:
    """Different candidates for one clip; `number` makes those of equal clips differ, `proposed` are a captioner's."""
    seed = choice.seed * 1_000_003 + number
    given = [] if choice.from_labels else [caption.strip() for caption in clip.captions if caption.strip()]
    found = [Candidate(caption, "caption") for caption in given]
    found += [Candidate(text, "labels") for text in sentences_from_labels(clip.labels, choice.candidates, Random(seed))]
    generator = torch.Generator().manual_seed(seed)
    for caption in given:
        wordings = paraphrases(caption, -(-choice.candidates // len(given)), generator)
        found += [Candidate(wording, "paraphrase") for wording in wordings]
    found += [Candidate(text, "captioner") for text in proposed]
    return list({candidate.text: candidate for candidate in reversed(found)}.values())[::-1]


class Judge:
    """z-scores of captions: cosines with a sound, relative to those of other captions of the same number of words."""

    def __init__(self, captions: Sequence[str], embed_texts: EmbedTexts) -> None:
        """`captions` are what candidates are compared with.

        Raises:
            ClapgenError: they are all the same sentence.
        """
        pool = list(dict.fromkeys(captions))
        if len(pool) < 2:
            raise ClapgenError(
                f"all captions are '{pool[0][:60]}': nothing tells clips apart; give clips with different captions or "
                "labels."
            )
        self._embed = embed_texts
        self._known: dict[str, Array] = {}
        self._pool = self._embedded(pool)
        lengths = np.array([len(text.split()) for text in pool])
        self._groups = {length: _group(lengths, length) for length in range(lengths.max() + 1)}

    def score(self, audio: Array, candidates: Sequence[Sequence[Candidate]]) -> list[list[Candidate]]:
        """The candidates of each clip with their cosines and z-scores, best first; audio (clips, dim)."""
        self._embedded([candidate.text for each in candidates for candidate in each])
        return [self._scored(sound, each) for sound, each in zip(audio, candidates, strict=True)]

    def _scored(self, sound: Array, candidates: Sequence[Candidate]) -> list[Candidate]:
        others = self._pool @ sound
        scored = []
        for candidate in candidates:
            cosine = float(self._known[candidate.text] @ sound)
            group = others[self._groups[min(len(candidate.text.split()), max(self._groups))]]
            z = (cosine - float(group.mean())) / max(float(group.std()), 1e-3)
            scored.append(replace(candidate, cosine=cosine, z=z))
        return sorted(scored, key=lambda candidate: -candidate.z)

    def _embedded(self, texts: Sequence[str]) -> Array:
        missing = [text for text in dict.fromkeys(texts) if text not in self._known]
        if missing:
            self._known |= dict(zip(missing, self._embed(missing), strict=True))
        return np.stack([self._known[text] for text in texts]) if texts else np.zeros((0, 1), np.float32)


def _group(lengths: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.int64]:
    """The captions of about this many words: at least `SMALLEST_GROUP`, if there are as many."""
    distance = np.abs(lengths - length)
    width = np.sort(distance)[min(SMALLEST_GROUP, len(lengths)) - 1]
    return np.flatnonzero(distance <= width)


def choose_captions(
    audio: Array, candidates: Sequence[Sequence[Candidate]], keep: int, embed_texts: EmbedTexts, seed: int = 0
) -> list[list[Candidate]]:
    """For each clip the `keep` captions that agree best with its sound, best first.

    The best candidate, and what is left of it without one of its clauses, compete for `ROUNDS` rounds.

    Args:
        audio: (clips, dim), embeddings of length 1.
        embed_texts: sentences to embeddings (n, dim) of length 1, of the same CLAP.

    Raises:
        ClapgenError: all candidates of all clips are the same sentence.
    """
    texts = list(dict.fromkeys(candidate.text for each in candidates for candidate in each))
    if len(texts) > POOL:
        texts = Random(seed).sample(texts, POOL)
    judge = Judge(texts, embed_texts)
    scored = judge.score(audio, candidates)
    for _ in range(ROUNDS):
        shorter = [_shorter(each[0]) if each else [] for each in scored]
        if not any(shorter):
            break
        tried = judge.score(audio, shorter)
        scored = [_better(old, new) for old, new in zip(scored, tried, strict=True)]
    return [each[:keep] for each in scored]


def _better(old: list[Candidate], new: list[Candidate]) -> list[Candidate]:
    """The best shorter caption replaces the best one, if it agrees better."""
    if not new or new[0].z <= old[0].z:
        return old
    return [new[0], *(candidate for candidate in old[1:] if candidate.text != new[0].text)]


def _shorter(candidate: Candidate) -> list[Candidate]:
    """The caption without each of its clauses."""
    clauses = _JOINT.split(candidate.text)
    if len(clauses) < 2:
        return []
    joints = _JOINT.findall(candidate.text)
    made = []
    for dropped in range(len(clauses)):
        kept = [clause for i, clause in enumerate(clauses) if i != dropped]
        between = joints[:dropped] + joints[dropped + 1 :] if dropped < len(joints) else joints[:-1]
        text = kept[0] + "".join(joint + clause for joint, clause in zip(between, kept[1:], strict=True))
        text = text.strip(" ,;")
        if text:
            made.append(
                Candidate(text[0].upper() + text[1:], candidate.source, (*candidate.dropped, clauses[dropped].strip()))
            )
    return made


@dataclass
class ChosenCaptions:
    """The clips with their chosen captions, and those that are as they were: without text, or unreadable."""

    clips: list[Clip]
    without_text: list[Clip] = field(default_factory=list)
    unreadable: list[tuple[Clip, str]] = field(default_factory=list)


def with_captions(clip: Clip, chosen: Sequence[Candidate], settings: dict[str, Any]) -> Clip:
    """The clip with these captions; `captions_from` says where each comes from, `captions_by` how they were chosen."""
    extra = clip.extra | {"captions_from": [each.provenance() for each in chosen], "captions_by": settings}
    return replace(clip, captions=[each.text for each in chosen], extra=extra)


def recaption(
    clips: Sequence[Clip],
    context: EvaluationContext,
    choice: CaptionChoice,
    propose: Callable[[Array, int], list[list[str]]] | None = None,
) -> ChosenCaptions:
    """Give clips the captions that agree best with their sounds, by the CLAP of `context`.

    Args:
        propose: a captioner: embeddings (clips, dim) and a number to as many captions of each clip.

    Raises:
        ClapgenError: no clip has captions or labels, or all have the same; no file can be read.
    """
    with_text = [clip for clip in clips if make_candidates(clip, 0, replace(choice, candidates=1)) or propose]
    if not with_text:
        needed = "labels" if choice.from_labels else "captions or labels"
        raise ClapgenError(f"no clip has {needed} to make captions from; add them to the manifest.")
    embedded = context.embed([clip.path for clip in with_text], "Embedding")
    rows = row_of_path(embedded)
    readable = [clip for clip in with_text if clip.path in rows]
    audio = embedded.embeddings[[rows[clip.path] for clip in readable]]
    proposed = propose(audio, choice.candidates) if propose else [[] for _ in readable]
    candidates = [
        make_candidates(clip, number, choice, texts)
        for number, (clip, texts) in enumerate(zip(readable, proposed, strict=True))
    ]
    chosen = choose_captions(audio, candidates, choice.keep, context.embed_texts, choice.seed)
    settings = {"model": context.clap.name, "hash": context.clap.hash, **asdict(choice)}
    new = {id(clip): with_captions(clip, each, settings) for clip, each in zip(readable, chosen, strict=True)}
    known = set(map(id, with_text))
    reasons = dict(embedded.skipped)
    return ChosenCaptions(
        [new.get(id(clip), clip) for clip in clips],
        [clip for clip in clips if id(clip) not in known],
        [(clip, reasons.get(clip.path, "")) for clip in with_text if id(clip) not in new],
    )
