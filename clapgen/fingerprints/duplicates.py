"""Which of many recordings are the same one: exact copies by content, others by fingerprint, in groups."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

from clapgen.embedders.file_identity import identify_files
from clapgen.embedders.store import Store
from clapgen.fingerprints.files import Advance, fingerprint_files
from clapgen.fingerprints.fingerprint import Fingerprint
from clapgen.fingerprints.index import SAME_RECORDING, FingerprintIndex

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Member(Generic[Key]):
    """A recording that duplicates another one of its group, `of`.

    Attributes:
        exact: the two files have the same content.
        score: of the match, see `Match`; None if exact.
        offset_seconds: where this recording starts in `of`; negative if it starts before it.
        seconds: length of the stretch in common; None if exact.
    """

    key: Key
    of: Key
    exact: bool = True
    score: float | None = None
    offset_seconds: float = 0.0
    seconds: float | None = None


@dataclass(frozen=True)
class DuplicateGroup(Generic[Key]):
    """Recordings that are the same one, in whole or in part: the longest, and the others."""

    key: Key
    members: list[Member[Key]] = field(default_factory=list)


def duplicate_groups(
    fingerprints: Mapping[Key, Fingerprint],
    contents: Mapping[Key, str] | None = None,
    threshold: float = SAME_RECORDING,
    advance: Advance = lambda count: None,
) -> list[DuplicateGroup[Key]]:
    """Group recordings that are the same one. Two of a group need not match if both match a third, such as a mix.

    Args:
        fingerprints: of each recording; of files with equal content, one is enough.
        contents: a hash of each file's content. Equal ones are exact copies, and only one of them is compared.
        threshold: score from which two recordings are the same one.
        advance: called with the number of recordings just compared.
    """
    hashes = contents or {}
    copies: dict[Hashable, list[Key]] = {}
    for key in dict.fromkeys([*hashes, *fingerprints]):
        copies.setdefault(hashes.get(key, key), []).append(key)
    compared: dict[Key, Fingerprint] = {}
    for same in copies.values():
        printed = next((fingerprints[key] for key in same if key in fingerprints), None)
        if printed is not None:
            compared[same[0]] = printed
    exact = {same[0]: same[1:] for same in copies.values() if len(same) > 1}
    links = _links(compared, threshold, advance)
    longest_first = sorted(compared, key=lambda key: -len(compared[key].words))
    groups, grouped = [], set[Key]()
    for key in dict.fromkeys([*longest_first, *exact]):
        if key not in grouped:
            group = DuplicateGroup(key, _members(key, links, exact))
            grouped |= {key, *(member.key for member in group.members)}
            groups += [group] if group.members else []
    order = {key: number for number, key in enumerate(dict.fromkeys([*hashes, *fingerprints]))}
    return sorted(groups, key=lambda group: order[group.key])


def find_duplicates(
    paths: Iterable[str | Path],
    threshold: float = SAME_RECORDING,
    cache: Store | None = None,
    advance: Advance = lambda count: None,
) -> tuple[list[DuplicateGroup[Path]], list[tuple[Path, str]]]:
    """Group sound files that are the same recording; and those that cannot be read, with the reason.

    Args:
        threshold: score from which two recordings are the same one.
        cache: where fingerprints are looked up and stored, such as `EmbeddingCache()`.
        advance: called with the number of files just read.
    """
    files, skipped = identify_files(list(dict.fromkeys(map(Path, paths))), cache)
    contents = {file.path: file.digest for file in files}
    fingerprints, unreadable = fingerprint_files(contents, cache, advance)
    return duplicate_groups(fingerprints, contents, threshold), skipped + unreadable


def _links(
    fingerprints: Mapping[Key, Fingerprint], threshold: float, advance: Advance
) -> dict[Key, dict[Key, Member[Key]]]:
    """For each recording the others that match it, each at its best offset."""
    index: FingerprintIndex[Key] = FingerprintIndex()
    for key, fingerprint in fingerprints.items():
        index.add(key, fingerprint)
    links: dict[Key, dict[Key, Member[Key]]] = {key: {} for key in fingerprints}
    for key, fingerprint in fingerprints.items():
        for match in index.matches(fingerprint, threshold):
            known = links[key].get(match.key)
            if match.key == key or (known is not None and known.score is not None and known.score >= match.score):
                continue
            found = (False, match.score, match.offset_seconds, match.seconds)
            links[match.key][key] = Member(key, match.key, *found)
            links[key][match.key] = replace(Member(match.key, key, *found), offset_seconds=-match.offset_seconds)
        advance(1)
    return links


def _members(
    key: Key, links: Mapping[Key, Mapping[Key, Member[Key]]], exact: Mapping[Key, Sequence[Key]]
) -> list[Member[Key]]:
    """All recordings that are linked with `key`, directly or through others; the most direct link of each."""
    members: list[Member[Key]] = []
    reached, waiting = {key}, deque([key])
    while waiting:
        of = waiting.popleft()
        members += [Member(copy, of) for copy in exact.get(of, ())]
        for member in sorted(links.get(of, {}).values(), key=lambda member: -(member.score or 0.0)):
            if member.key not in reached:
                reached.add(member.key)
                waiting.append(member.key)
                members.append(member)
    return members
