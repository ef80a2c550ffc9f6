"""Scores of captions against references, labels and one another: BLEU, ROUGE-L, CIDEr-D, keyword accuracy, diversity.

Each metric is a function over all clips, and an `Accumulator` over batches. BLEU, ROUGE-L and CIDEr-D equal those of
pycocoevalcap on the same words. Captions and references are split by `tokenize`; if you have words already, join them
with spaces and pass `str.split` as tokenizer.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TypeVar

from clapgen.errors import ClapgenError
from clapgen.metrics.accumulator import Accumulator
from clapgen.metrics.captions.formulas import (
    MAX_N,
    BleuCounts,
    Words,
    bleu_counts,
    bleu_of_counts,
    cider_d_of_words,
    rouge_l_of_words,
)
from clapgen.metrics.captions.words import bases, tokenize

Tokenizer = Callable[[str], list[str]]
Clip = TypeVar("Clip")  # what is kept of a clip


@dataclass(frozen=True)
class CaptionScores:
    """Scores by name: `corpus` over all clips, `clips` one per clip, in the given order."""

    corpus: dict[str, float]
    clips: dict[str, list[float]]


def bleu(candidates: list[str], references: list[list[str]], tokenizer: Tokenizer = tokenize) -> CaptionScores:
    """`BLEU-1` to `BLEU-4`, 0 to 1, at corpus level, with the closest reference length (Papineni et al. 2002).

    As in coco-caption, no precision is exactly 0: it is 1e-6 for a caption of fewer than n words, and tiny if no n-gram
    matches. An empty candidate scores 0.

    Raises:
        ClapgenError: no captions, different counts, a clip without references, a reference without words.
    """
    return _bleu_scores([bleu_counts(*clip) for clip in tokenized(candidates, references, tokenizer)])


def rouge_l(candidates: list[str], references: list[list[str]], tokenizer: Tokenizer = tokenize) -> CaptionScores:
    """`ROUGE-L`, 0 to 1: F-score (beta 1.2) of the longest common subsequence, averaged over clips (Lin 2004).

    As in coco-caption, precision and recall are maxima over a clip's references. Errors as in `bleu`.
    """
    return _mean_scores("ROUGE-L", [rouge_l_of_words(*clip) for clip in tokenized(candidates, references, tokenizer)])


def cider_d(candidates: list[str], references: list[list[str]], tokenizer: Tokenizer = tokenize) -> CaptionScores:
    """`CIDEr-D`, 0 to 10: clipped cosine of tf-idf n-grams, with a length penalty (Vedantam et al. 2015).

    Document frequencies come from the given references, so scores of different sets do not compare. As in
    coco-caption, length is the number of bigrams.

    Raises:
        ClapgenError: as `bleu`; a single clip, where every word is in all clips and has no weight.
    """
    return _cider_d_scores(tokenized(candidates, references, tokenizer))


def keyword_accuracy(
    candidates: list[str],
    labels: list[list[str]],
    synonyms: Mapping[str, Sequence[str]] | None = None,
    tokenizer: Tokenizer = tokenize,
) -> CaptionScores:
    """`keyword_accuracy`, 0 to 1: the share of captions that mention one of their clip's labels.

    A label is mentioned by its own words (underscores are spaces) or by one of its synonyms. All words of a phrase must
    occur, in any order and in any regular form (`words.bases`): "A baby is crying" mentions `baby cry`.

    Args:
        labels: one or more per clip.
        synonyms: label → words or phrases, for some or all labels. Irregular forms (sang, geese) belong here.

    Raises:
        ClapgenError: no captions, different counts, a clip without labels, a label or synonym without words.
    """
    return KeywordAccuracyAccumulator(synonyms, tokenizer).of(candidates, labels)


def diversity(candidates: list[str], tokenizer: Tokenizer = tokenize) -> CaptionScores:
    """`vocabulary` (different words), `distinct_captions` (share of different captions, 0 to 1), `words` per caption.

    Captions that only differ in case or punctuation are the same. Without captions, it raises ClapgenError.
    """
    return _diversity_scores(_words(candidates, tokenizer))


def caption_scores(
    candidates: list[str], references: list[list[str]], tokenizer: Tokenizer = tokenize
) -> CaptionScores:
    """BLEU, ROUGE-L, CIDEr-D (not for a single clip) and diversity. Errors as in `bleu`."""
    clips = tokenized(candidates, references, tokenizer)
    parts = [
        _bleu_scores([bleu_counts(*clip) for clip in clips]),
        _mean_scores("ROUGE-L", [rouge_l_of_words(*clip) for clip in clips]),
        *([_cider_d_scores(clips)] if len(clips) > 1 else []),
        _diversity_scores([candidate for candidate, _ in clips]),
    ]
    return CaptionScores(
        {name: metric for part in parts for name, metric in part.corpus.items()},
        {name: metrics for part in parts for name, metrics in part.clips.items()},
    )


class _CaptionAccumulator(Accumulator[list[Clip], CaptionScores]):
    """Keeps one state per clip. Accumulators with the same tokenizer and synonyms can be merged."""

    def __init__(self, tokenizer: Tokenizer = tokenize) -> None:
        super().__init__()
        self._tokenizer = tokenizer

    def _result_of(self, states: Sequence[list[Clip]]) -> CaptionScores:
        return self._scores([clip for batch in states for clip in batch])

    @abstractmethod
    def _scores(self, clips: list[Clip]) -> CaptionScores: ...


class BleuAccumulator(_CaptionAccumulator[BleuCounts]):
    """`bleu` over batches of candidates and references. Keeps ten counts per clip."""

    def _state_of(self, candidates: list[str], references: list[list[str]]) -> list[BleuCounts]:
        return [bleu_counts(*clip) for clip in tokenized(candidates, references, self._tokenizer)]

    def _scores(self, clips: list[BleuCounts]) -> CaptionScores:
        return _bleu_scores(clips)


class RougeLAccumulator(_CaptionAccumulator[float]):
    """`rouge_l` over batches of candidates and references. Keeps one number per clip."""

    def _state_of(self, candidates: list[str], references: list[list[str]]) -> list[float]:
        return [rouge_l_of_words(*clip) for clip in tokenized(candidates, references, self._tokenizer)]

    def _scores(self, clips: list[float]) -> CaptionScores:
        return _mean_scores("ROUGE-L", clips)


class CiderDAccumulator(_CaptionAccumulator[tuple[Words, list[Words]]]):
    """`cider_d` over batches of candidates and references. Keeps the words: their weights are only known at the end."""

    def _state_of(self, candidates: list[str], references: list[list[str]]) -> list[tuple[Words, list[Words]]]:
        return tokenized(candidates, references, self._tokenizer)

    def _scores(self, clips: list[tuple[Words, list[Words]]]) -> CaptionScores:
        return _cider_d_scores(clips)


class DiversityAccumulator(_CaptionAccumulator[Words]):
    """`diversity` over batches of captions. Keeps the words."""

    def _state_of(self, candidates: list[str]) -> list[Words]:
        return _words(candidates, self._tokenizer)

    def _scores(self, clips: list[Words]) -> CaptionScores:
        return _diversity_scores(clips)


class KeywordAccuracyAccumulator(_CaptionAccumulator[float]):
    """`keyword_accuracy` over batches of candidates and labels. Keeps one number per clip."""

    def __init__(self, synonyms: Mapping[str, Sequence[str]] | None = None, tokenizer: Tokenizer = tokenize) -> None:
        super().__init__(tokenizer)
        self._synonyms: dict[tuple[str, ...], list[Words]] = {}
        for label, phrases in (synonyms or {}).items():
            if isinstance(phrases, str):
                raise ClapgenError(f"The synonyms of {label!r} are one string; give a list of words or phrases.")
            cut = _phrases([label, *phrases], self._without_underscores, f"label {label!r} and its synonyms")
            self._synonyms.setdefault(tuple(cut[0]), []).extend(cut[1:])

    def _state_of(self, candidates: list[str], labels: list[list[str]]) -> list[float]:
        return [self._is_named(*clip) for clip in tokenized(candidates, labels, self._without_underscores, "labels")]

    def _scores(self, clips: list[float]) -> CaptionScores:
        return _mean_scores("keyword_accuracy", clips)

    def _is_named(self, caption: Words, labels: list[Words]) -> float:
        present = frozenset[str]().union(*map(bases, caption))
        phrases = [phrase for label in labels for phrase in (label, *self._synonyms.get(tuple(label), []))]
        return float(any(all(bases(word) & present for word in phrase) for phrase in phrases))

    def _without_underscores(self, text: str) -> Words:
        return self._tokenizer(text.replace("_", " "))


def _bleu_scores(clips: list[BleuCounts]) -> CaptionScores:
    names = [f"BLEU-{n + 1}" for n in range(MAX_N)]
    by_clip = zip(*(bleu_of_counts([clip]) for clip in _some(clips)), strict=True)
    return CaptionScores(
        dict(zip(names, bleu_of_counts(clips), strict=True)),
        {name: list(scores) for name, scores in zip(names, by_clip, strict=True)},
    )


def _mean_scores(name: str, clips: list[float]) -> CaptionScores:
    _some(clips)
    return CaptionScores({name: fmean(clips)}, {name: list(clips)})


def _cider_d_scores(clips: list[tuple[Words, list[Words]]]) -> CaptionScores:
    if len(_some(clips)) < 2:
        raise ClapgenError("CIDEr-D weights words by the number of clips that have them, so it needs at least 2 clips.")
    return _mean_scores("CIDEr-D", cider_d_of_words(clips))


def _diversity_scores(captions: list[Words]) -> CaptionScores:
    lengths = [float(len(caption)) for caption in _some(captions)]
    corpus = {
        "vocabulary": float(len(set().union(*captions))),
        "distinct_captions": len(set(map(tuple, captions))) / len(captions),
        "words": fmean(lengths),
    }
    return CaptionScores(corpus, {"words": lengths})


def _some(clips: list[Clip]) -> list[Clip]:
    if not clips:
        raise ClapgenError("There are no captions to score; give at least one.")
    return clips


def _words(candidates: list[str], tokenizer: Tokenizer) -> list[Words]:
    if isinstance(candidates, str):
        raise ClapgenError("The candidates are one string; give a list with one caption per clip.")
    for clip, candidate in enumerate(candidates):
        if not isinstance(candidate, str):
            raise ClapgenError(f"The caption of clip {clip} is {candidate!r}; give a string.")
    return [tokenizer(candidate) for candidate in candidates]


def tokenized(
    candidates: list[str], references: list[list[str]], tokenizer: Tokenizer, kind: str = "references"
) -> list[tuple[Words, list[Words]]]:
    """The words of (candidate, references) of each clip.

    Raises:
        ClapgenError: as `bleu`; clips are named by their index, from 0.
    """
    captions = _words(candidates, tokenizer)
    if len(captions) != len(references):
        raise ClapgenError(
            f"{len(captions)} captions and {kind} of {len(references)} clips do not pair; give equal numbers."
        )
    return [
        (caption, _phrases(of_clip, tokenizer, f"{kind} of clip {clip}"))
        for clip, (caption, of_clip) in enumerate(zip(captions, references, strict=True))
    ]


def _phrases(texts: Sequence[str], tokenizer: Tokenizer, what: str) -> list[Words]:
    if isinstance(texts, str) or not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise ClapgenError(f"The {what} are not a list of strings; give one.")
    if not texts:
        raise ClapgenError(f"The {what} are an empty list; give at least one.")
    words = [tokenizer(text) for text in texts]
    for text, of_text in zip(texts, words, strict=True):
        if not of_text:
            raise ClapgenError(f"Among the {what}, {text!r} has no words; remove it.")
    return words
