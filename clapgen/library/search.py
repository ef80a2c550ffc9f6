"""One search of a library: the query as a vector, the nearest sounds, and their order by words or by diversity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clapgen.errors import ClapgenError
from clapgen.library.diversity import diverse_order
from clapgen.library.query import Query, Vector, query_vector
from clapgen.library.records import Nearby, Selection
from clapgen.library.scan import Considered, nearest_sounds
from clapgen.library.store import Store
from clapgen.library.words import fused, load_thesaurus, word_alternatives

if TYPE_CHECKING:
    from clapgen.embedders import ClapEmbedder

MOST_CANDIDATES = 100  # at least so many are ranked again by words or by diversity
_SPREAD_SAMPLE = 4096  # vectors of the library from which the spread of cosines is measured


@dataclass
class Search:
    """A query to a library; `clap` gives its CLAP, which is only loaded if it is needed."""

    store: Store
    clap: Callable[[], ClapEmbedder]
    query: Query
    k: int
    selection: Selection

    def run(
        self, words: bool = False, thesaurus: Mapping[str, Sequence[str]] | None = None, diverse: float = 0.0
    ) -> list[Nearby]:
        """The best k sounds, best first; the arguments are those of `Library.search`.

        Raises:
            ClapgenError: a sound of the query cannot be read, the query cancels itself, the wrong CLAP.
        """
        vector, digests = self._embedded()
        selection = replace(self.selection, without_digests=tuple(digests))
        wanted = max(5 * self.k, MOST_CANDIDATES) if words or diverse else self.k
        found = self.store.nearest(vector[None], wanted, selection)[0]
        if words:
            found = self._with_words(found, vector, thesaurus, wanted, selection)
        if diverse:
            found = self._diverse(found, diverse)
        return found[: self.k]

    def _embedded(self) -> tuple[Vector, list[str]]:
        """The vector of a query, and the contents of the sounds in it."""
        from clapgen.embedders.file_identity import content_digest

        for path in self.query.all_sounds:
            if not path.is_file():
                raise ClapgenError(f"{path} does not exist or is not a file; give a sound file.")
        digests = [content_digest(path) for path in self.query.sounds]
        return query_vector(self.query, self._embed_texts, self._embed_sound, self._spread), digests

    def _embed_texts(self, texts: Sequence[str]) -> Vector:
        return self.clap().embed_text(list(texts)).float().cpu().numpy()

    def _embed_sound(self, path: Path) -> Vector:
        from clapgen.audio.reading import stream_audio
        from clapgen.embedders import embed_stream

        clap = self.clap()
        vector = embed_stream(clap, stream_audio(path, clap.sample_rate)).float().cpu().numpy()
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), dtype=np.float32)

    def _spread(self, vector: Vector) -> float:
        return float(np.std(self._sample @ vector))

    @cached_property
    def _sample(self) -> Vector:
        return self.store.sample(_SPREAD_SAMPLE).vectors.astype(np.float32)

    def _with_words(
        self,
        found: Sequence[Nearby],
        vector: Vector,
        thesaurus: Mapping[str, Sequence[str]] | None,
        limit: int,
        selection: Selection,
    ) -> list[Nearby]:
        """Sounds by their rank in `found` and by that of a search by words, fused."""
        alternatives = word_alternatives(
            " ".join(self.query.texts), thesaurus if thesaurus is not None else load_thesaurus()
        )
        by_words = self.store.with_words(alternatives, limit, selection) if alternatives else []
        known = {nearby.sound: nearby for nearby in found}
        rows = self.store.rows_of([id for id in by_words if id not in known])
        if len(rows):
            considered = Considered(whole=selection.whole)
            known |= {n.sound: n for n in nearest_sounds(rows, vector[None], len(rows), considered)[0]}
        return [known[id] for id in fused([[n.sound for n in found], by_words]) if id in known]

    def _diverse(self, found: Sequence[Nearby], novelty: float) -> list[Nearby]:
        rows = self.store.rows_of([nearby.sound for nearby in found])
        whole = np.isnan(rows.spans[:, 0])
        vectors = dict(zip(rows.sounds[whole].tolist(), rows.vectors[whole].astype(np.float32), strict=True))
        found = [nearby for nearby in found if nearby.sound in vectors]
        if not found:
            return []
        table = np.stack([vectors[nearby.sound] for nearby in found])
        return [found[index] for index in diverse_order([n.score for n in found], table, self.k, novelty)]
