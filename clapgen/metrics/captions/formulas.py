"""BLEU, ROUGE-L and CIDEr-D on lists of words, identical to coco-caption, including its quirks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

Words = list[str]
Ngram = tuple[str, ...]

MAX_N = 4  # n-grams of 1 to 4 words, in BLEU as in CIDEr-D
ROUGE_BETA = 1.2  # weights recall above precision
CIDER_SIGMA = 6.0  # width, in words, of the length penalty
_TINY, _SMALL = 1e-15, 1e-9  # from coco-caption: avoid division by zero


class BleuCounts(NamedTuple):
    """Counts of one clip for BLEU: lengths in words, and for each n the candidate's n-grams and the matching ones."""

    length: int
    reference_length: int
    ngrams: tuple[int, ...]
    matches: tuple[int, ...]


def bleu_counts(candidate: Words, references: list[Words]) -> BleuCounts:
    """Clipped n-gram matches with any reference, and the closest reference length (the shorter of two as close)."""
    most: Counter[Ngram] = Counter()
    for reference in references:
        most |= _ngrams(reference)
    matches = [0] * MAX_N
    for ngram, count in _ngrams(candidate).items():
        matches[len(ngram) - 1] += min(count, most[ngram])
    length = len(candidate)
    closest = min((len(reference) for reference in references), key=lambda other: (abs(other - length), other))
    return BleuCounts(length, closest, tuple(max(0, length - n) for n in range(MAX_N)), tuple(matches))


def bleu_of_counts(counts: Sequence[BleuCounts]) -> list[float]:
    """BLEU-1 to BLEU-4 of summed counts, of one clip or of a corpus."""
    length = sum(clip.length for clip in counts)
    ratio = (length + _TINY) / (sum(clip.reference_length for clip in counts) + _SMALL)
    brevity = math.exp(min(0.0, 1 - 1 / ratio))
    precision, scores = 1.0, []
    for n in range(MAX_N):
        found, possible = sum(clip.matches[n] for clip in counts), sum(clip.ngrams[n] for clip in counts)
        precision *= (found + _TINY) / (possible + _SMALL)
        scores.append(brevity * precision ** (1 / (n + 1)))
    return scores


def rouge_l_of_words(candidate: Words, references: list[Words]) -> float:
    """F-score of the longest common subsequence; precision and recall are maxima over the references."""
    if not candidate:
        return 0.0
    common = [_longest_common_subsequence(candidate, reference) for reference in references]
    precision = max(common) / len(candidate)
    recall = max(length / len(reference) for length, reference in zip(common, references, strict=True))
    if not precision:
        return 0.0
    return (1 + ROUGE_BETA**2) * precision * recall / (recall + ROUGE_BETA**2 * precision)


def cider_d_of_words(clips: Sequence[tuple[Words, list[Words]]]) -> list[float]:
    """CIDEr-D of each (candidate, references); n-grams in the references of many clips get less weight."""
    frequencies: Counter[Ngram] = Counter()
    for _, references in clips:
        frequencies.update(set().union(*map(_ngrams, references)))
    unseen = math.log(len(clips))
    idf = {ngram: unseen - math.log(count) for ngram, count in frequencies.items()}

    def weights(words: Words) -> list[dict[Ngram, float]]:
        by_n: list[dict[Ngram, float]] = [{} for _ in range(MAX_N)]
        for ngram, count in _ngrams(words).items():
            by_n[len(ngram) - 1][ngram] = count * idf.get(ngram, unseen)
        return by_n

    scores = []
    for candidate, references in clips:
        own = weights(candidate)
        total = sum(
            _length_penalty(candidate, reference) * sum(map(_clipped_cosine, own, weights(reference)))
            for reference in references
        )
        scores.append(10 * total / (MAX_N * len(references)))
    return scores


def _ngrams(words: Words) -> Counter[Ngram]:
    return Counter(tuple(words[i : i + n]) for n in range(1, MAX_N + 1) for i in range(len(words) - n + 1))


def _longest_common_subsequence(first: Words, second: Words) -> int:
    row = [0] * (len(second) + 1)  # row[j]: of the words of `first` so far and the first j of `second`
    for word in first:
        above = row
        row = [0]
        for j, other in enumerate(second):
            row.append(above[j] + 1 if word == other else max(above[j + 1], row[j]))
    return row[-1]


def _clipped_cosine(candidate: dict[Ngram, float], reference: dict[Ngram, float]) -> float:
    dot = sum(min(weight, reference.get(ngram, 0.0)) * reference.get(ngram, 0.0) for ngram, weight in candidate.items())
    norm = math.hypot(*candidate.values()) * math.hypot(*reference.values())
    return dot / norm if norm else 0.0


def _length_penalty(candidate: Words, reference: Words) -> float:
    difference = max(0, len(candidate) - 1) - max(0, len(reference) - 1)  # coco-caption counts bigrams
    return math.exp(-(difference**2) / (2 * CIDER_SIGMA**2))
