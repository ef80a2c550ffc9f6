"""Sounds by name: what a table, a prompts file or a reference may call a clip."""

from __future__ import annotations

from collections.abc import Sequence

from clapgen.data.manifest import Clip


class SoundNames:
    """The clips of a set by any of their names: path, path below their folder, file name; with and without suffix."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        self._exact: dict[str, set[int]] = {}
        self._spaced: dict[str, set[int]] = {}
        for index, clip in enumerate(clips):
            for name in (str(clip.path), clip.name, clip.name + clip.path.suffix, clip.path.name, clip.path.stem):
                self._exact.setdefault(name, set()).add(index)
                self._spaced.setdefault(_collapsed(name), set()).add(index)

    def find(self, name: str) -> list[int]:
        """Indices of the clips of that name; differences in spaces count only if there is no exact match."""
        exact = self._exact.get(name) or self._exact.get(name.removeprefix("./"))
        return sorted(exact or self._spaced.get(_collapsed(name).removeprefix("./"), set()))


def _collapsed(name: str) -> str:
    """Some copies of a data set lose the spaces at the ends of a name, and so do tables."""
    return " ".join(name.split())
