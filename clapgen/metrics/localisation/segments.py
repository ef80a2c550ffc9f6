"""Detected segments against reference segments: F1 with a collar, and F1 by intersection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Span = tuple[float, float]  # start and end in seconds

COLLAR = 0.5
OFFSET_SHARE = 0.2
TOLERANCE = 0.5


@dataclass(frozen=True)
class Counts:
    """What was detected and missed; can be added.

    Attributes:
        hits: reference segments that were found.
        references: all reference segments.
        false: detections that are wrong.
    """

    hits: int = 0
    references: int = 0
    false: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.hits + other.hits, self.references + other.references, self.false + other.false)

    @property
    def f1(self) -> float | None:
        """2 · hits / (hits + references + false); None if there is neither a reference nor a detection."""
        total = self.hits + self.references + self.false
        return 2 * self.hits / total if total else None

    @property
    def recall(self) -> float | None:
        """Share of the references found; None without references."""
        return self.hits / self.references if self.references else None


def collar_counts(
    found: Sequence[Span], reference: Sequence[Span], collar: float = COLLAR, offset_share: float = OFFSET_SHARE
) -> Counts:
    """Event-based counts of sed_eval (Mesaros et al. 2016): a detection is a hit if both its ends are right.

    Its start must lie within `collar` seconds of the reference's, its end within `collar` seconds or `offset_share` of
    the reference's length, whichever is more. Each reference is matched with at most one detection, such that most are
    matched.
    """
    close = [
        [
            index
            for index, (start, end) in enumerate(found)
            if abs(start - first) <= collar and abs(end - last) <= max(collar, offset_share * (last - first))
        ]
        for first, last in reference
    ]
    hits = _largest_matching(close)
    return Counts(hits, len(reference), len(found) - hits)


def intersection_counts(
    found: Sequence[Span], reference: Sequence[Span], detection: float = TOLERANCE, ground_truth: float = TOLERANCE
) -> Counts:
    """Intersection-based counts (Bilen et al. 2020, PSDS), which allow for events that are split or joined.

    A detection is false unless references cover at least the share `detection` of it. A reference is a hit if the
    detections that are not false cover at least the share `ground_truth` of it.
    """
    right = [span for span in found if _covered(span, reference) >= detection]
    hits = sum(_covered(span, right) >= ground_truth for span in reference)
    return Counts(hits, len(reference), len(found) - len(right))


def merged(spans: Sequence[Span]) -> list[Span]:
    """Spans in order of time, those that touch or overlap joined to one."""
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def _covered(span: Span, others: Sequence[Span]) -> float:
    """The share of a span that lies in other spans."""
    start, end = span
    shared = sum(max(0.0, min(end, last) - max(start, first)) for first, last in merged(others))
    return shared / (end - start) if end > start else float(any(a <= start <= b for a, b in others))


def _largest_matching(choices: Sequence[Sequence[int]]) -> int:
    """How many rows can be matched with one of their choices each, no choice twice (augmenting paths, Kuhn 1955)."""
    owner: dict[int, int] = {}

    def place(row: int, tried: set[int]) -> bool:
        for choice in choices[row]:
            if choice not in tried:
                tried.add(choice)
                if choice not in owner or place(owner[choice], tried):
                    owner[choice] = row
                    return True
        return False

    return sum(place(row, set()) for row in range(len(choices)))
