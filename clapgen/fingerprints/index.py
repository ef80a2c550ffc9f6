"""`FingerprintIndex`: which of many recordings a fingerprint is a part of, without comparing it with each of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from clapgen.errors import ClapgenError
from clapgen.fingerprints.bits import evidence_per_block
from clapgen.fingerprints.fingerprint import Fingerprint
from clapgen.fingerprints.landmarks import Integers, pair_hashes
from clapgen.fingerprints.spectrum import BLOCK, FRAMES_PER_SECOND

SAME_RECORDING = 12.0  # score from which two fingerprints are of one recording; benchmarks/fingerprint_accuracy.py
PARTNERS_STORED, PARTNERS_SOUGHT = 3, 8  # pairs per peak; more are sought, as noise adds peaks between two
_OFFSET_BITS = 32  # of an offset in frames, next to the number of its recording
_POSITION_BITS = 40  # of an entry of the index; its hash has the other 24
_QUERY_FRAMES = 2048  # about half a minute of a fingerprint is looked up at once
_CANDIDATES = 32  # offsets compared in detail for each part looked up, those with the most common landmarks
_COMMON = 2  # landmarks in common, from which an offset is compared
_CROWDED = 20_000  # entries of one hash, above which it is too common to tell recordings apart
_PROMISING = 0.5  # score from which the offsets around that of the landmarks are compared too
_SHORTEST_SECONDS = 0.5  # of a common stretch, or half of the shorter recording: less may be one drum sample
_SLACK = 2  # frames by which an encoder shifts a sound, around the offset of the landmarks

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Match(Generic[Key]):
    """A recording in the index that the query has a stretch in common with.

    Attributes:
        score: log-likelihood ratio of one recording against two; `SAME_RECORDING` or more is a match.
        offset_seconds: where the start of the query lies in the recording; negative if it starts before it.
        seconds: length of the stretch that they have in common.
    """

    key: Key
    score: float
    offset_seconds: float
    seconds: float


class FingerprintIndex(Generic[Key]):
    """An inverted index over the landmarks of many recordings, in one sorted array of 8 bytes per landmark pair.

    A query looks its own landmarks up, and only where several agree on a recording and an offset (Wang 2003), the
    sub-band bits of the two are compared.
    """

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self._fingerprints: list[Fingerprint] = []
        self._starts: list[int] = []  # of each recording on a time line that holds all of them, in frames
        self._end = 0
        self._sorted: NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)  # hash, position on that time line
        self._added: list[NDArray[np.uint64]] = []

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, key: Key, fingerprint: Fingerprint) -> None:
        """Add a recording under a key of any kind."""
        frames, hashes = pair_hashes(fingerprint.peak_frames, fingerprint.peak_bins, PARTNERS_STORED)
        self.keys.append(key)
        self._fingerprints.append(fingerprint)
        self._starts.append(self._end)
        self._added.append(
            (hashes.astype(np.uint64) << np.uint64(_POSITION_BITS)) | (frames + self._end).astype(np.uint64)
        )
        self._end += len(fingerprint.words)
        if self._end >= 1 << _POSITION_BITS:
            raise ClapgenError("the fingerprint index is full.")

    def matches(self, fingerprint: Fingerprint, threshold: float = SAME_RECORDING) -> list[Match[Key]]:
        """The recordings that share a stretch with this one, the best first; each at its best offset."""
        best: dict[int, Match[Key]] = {}
        for recording, offset in self._candidates(fingerprint):
            match = self._compare(fingerprint, recording, offset)
            shorter = min(fingerprint.seconds, self._fingerprints[recording].seconds)
            enough = match.seconds >= min(_SHORTEST_SECONDS, shorter / 2)
            if enough and match.score >= threshold and (recording not in best or match.score > best[recording].score):
                best[recording] = match
        return sorted(best.values(), key=lambda match: -match.score)

    def _candidates(self, fingerprint: Fingerprint) -> Iterator[tuple[int, int]]:
        """Recordings and offsets in frames on which several landmarks agree, each once."""
        entries, starts = self._entries(), np.array(self._starts, dtype=np.int64)
        frames, hashes = pair_hashes(fingerprint.peak_frames, fingerprint.peak_bins, PARTNERS_SOUGHT)
        seen = set()
        for first in range(0, len(fingerprint.words), _QUERY_FRAMES):
            part = slice(*np.searchsorted(frames, [first, first + _QUERY_FRAMES]))
            for recording, offset in _agreeing(entries, starts, frames[part], hashes[part]):
                if (recording, offset) not in seen:
                    seen.add((recording, offset))
                    yield recording, offset

    def _entries(self) -> NDArray[np.uint64]:
        if self._added:
            self._sorted = np.concatenate([self._sorted, *self._added])
            self._sorted.sort()
            self._added = []
        return self._sorted

    def _compare(self, query: Fingerprint, recording: int, offset: int) -> Match[Key]:
        stored = self._fingerprints[recording]
        (score, seconds), best = compare_at(query, stored, offset), offset
        if score > _PROMISING:
            around = range(offset - _SLACK, offset + _SLACK + 1)
            (score, seconds), best = max((compare_at(query, stored, shifted), shifted) for shifted in around)
        return Match(self.keys[recording], score, best / FRAMES_PER_SECOND, seconds)


def compare_at(query: Fingerprint, stored: Fingerprint, offset: int) -> tuple[float, float]:
    """Score and length in seconds of the stretch that two recordings have most clearly in common.

    Args:
        offset: frame of `stored` at which `query` starts.
    """
    start, end = max(0, -offset), min(len(query.words), len(stored.words) - offset)
    if end <= start:
        return 0.0, 0.0
    masks, stored_masks = np.repeat(query.masks, BLOCK), np.repeat(stored.masks, BLOCK)
    evidence = evidence_per_block(
        query.words[start:end], masks[start:end],
        stored.words[start + offset : end + offset], stored_masks[start + offset : end + offset],
    )  # fmt: skip
    total = np.concatenate([[0.0], np.cumsum(evidence)])
    gains = total - np.minimum.accumulate(total)  # of the best stretch that ends here
    last = int(gains.argmax())
    first = int(total[: last + 1].argmin())
    return float(gains[last]), (last - first) * BLOCK / FRAMES_PER_SECOND


def _agreeing(
    entries: NDArray[np.uint64], starts: Integers, frames: Integers, hashes: Integers
) -> list[tuple[int, int]]:
    """The recordings and offsets at which the most of these landmark pairs are found, within a frame."""
    shifted = hashes.astype(np.uint64) << np.uint64(_POSITION_BITS)
    begin = np.searchsorted(entries, shifted)
    counts = np.searchsorted(entries, shifted + np.uint64(1 << _POSITION_BITS)) - begin
    counts[counts > _CROWDED] = 0
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    found = entries[np.repeat(begin, counts) + within] & np.uint64((1 << _POSITION_BITS) - 1)
    positions = found.astype(np.int64)
    recordings = np.searchsorted(starts, positions, side="right") - 1
    offsets = positions - starts[recordings] - np.repeat(frames, counts)
    return _most_common(recordings << _OFFSET_BITS | offsets + (1 << _OFFSET_BITS - 1))


def _most_common(places: Integers) -> list[tuple[int, int]]:
    """The recordings and offsets that are there most often, counting the offsets next to each."""
    places, counts = np.unique(places, return_counts=True)
    votes, adjacent = counts.copy(), np.flatnonzero(np.diff(places) == 1)
    votes[adjacent] += counts[adjacent + 1]
    votes[adjacent + 1] += counts[adjacent]
    outvoted = np.zeros(len(places), dtype=bool)  # by the offset next to it
    outvoted[adjacent] |= votes[adjacent] < votes[adjacent + 1]
    outvoted[adjacent + 1] |= votes[adjacent + 1] <= votes[adjacent]
    chosen = np.flatnonzero((votes >= _COMMON) & ~outvoted)
    chosen = chosen[np.argsort(-votes[chosen], kind="stable")[:_CANDIDATES]]
    middle = 1 << _OFFSET_BITS - 1
    return [(int(place >> _OFFSET_BITS), int((place & 2 * middle - 1) - middle)) for place in places[chosen]]
