"""`Library`: sounds on disk, found again by what they sound like."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clapgen.errors import ClapgenError
from clapgen.library.query import Sounds, Texts, make_query
from clapgen.library.records import Changes, Description, Moment, Nearby, Queries, Selection, Sound
from clapgen.library.search import Search
from clapgen.library.store import Store, open_store

if TYPE_CHECKING:
    from clapgen.embedders import ClapEmbedder
    from clapgen.embedders.store import Store as Cache
    from clapgen.library.adding import AddReport, Advance
    from clapgen.library.sources import Sources

USUAL_K = 10


@dataclass(frozen=True)
class Hit:
    """A sound that was found.

    Attributes:
        score: cosine with the query, -1 to 1; the larger one of the whole sound's and its best part's.
        moments: the best parts of a sound that is longer than the CLAP's window, best first.
    """

    sound: Sound
    score: float
    moments: tuple[Moment, ...] = field(default=())

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self.sound.path

    @property
    def about(self) -> Description:
        """Captions, tags, licence, author, …"""
        return self.sound.description


class Library:
    """A library of sounds, in a folder or on a PostgreSQL server.

    >>> library = Library.open("sounds.library")
    >>> for hit in library.search(text="wooden door creaks slowly", k=10):
    ...     print(hit.score, hit.path, hit.about.licence)
    """

    def __init__(self, store: Store, model: str | None = None, device: str = "auto") -> None:
        self.store, self._model, self._device = store, model, device

    @classmethod
    def open(
        cls, location: str | os.PathLike[str], model: str | None = None, device: str = "auto", create: bool = False
    ) -> Library:
        """Open the library at a folder, or at `postgresql://USER@HOST/DATABASE?schema=NAME`.

        Args:
            model: the CLAP of a new library (default: "default"). An existing one needs the CLAP it was made with; it
                is loaded by the name that it had then, unless it is named here.
            device: of the CLAP: auto, cpu, cuda, …
            create: make the library if there is none.

        Raises:
            ClapgenError: there is no library, it is damaged, a newer clapgen made it, or its server cannot be reached.
        """
        return cls(open_store(os.fspath(location), create), model, device)

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def __len__(self) -> int:
        """How many sounds can be found."""
        return self.store.size()

    @cached_property
    def clap(self) -> ClapEmbedder:
        """The CLAP of the library, loaded.

        Raises:
            ClapgenError: it cannot be loaded, or is not the one that the library was made with.
        """
        from clapgen.devices import choose_device
        from clapgen.embedders import load_clap

        name = self._model or self.store.facts().get("model", "default")
        clap = load_clap(name, choose_device(self._device))
        self._check_clap(clap)
        return clap

    def search(
        self,
        text: Texts = None,
        like: Sounds = None,
        without: Sounds = None,
        k: int | None = None,
        weight: float = 0.5,
        *,
        min_seconds: float | None = None,
        max_seconds: float | None = None,
        tags: Sequence[str] = (),
        licences: Sequence[str] = (),
        under: Sequence[str | os.PathLike[str]] = (),
        whole: bool = False,
        words: bool = False,
        thesaurus: Mapping[str, Sequence[str]] | None = None,
        diverse: float = 0.0,
    ) -> list[Hit]:
        """The sounds that are nearest to a query, best first.

        Args:
            text: what to find, in words; several texts are added.
            like: sound files to find similar ones to; themselves and their copies are left out.
            without: texts or sound files to stay away from.
            k: how many sounds (default: 10, or fewer if the library has fewer).
            weight: of the text against the sound, 0 to 1, if both are given.
            min_seconds, max_seconds, tags, licences, under, whole: see `Selection`.
            words: also rank sounds by the words of the text in their captions, tags and names, and fuse both rankings.
            thesaurus: label → words that count as it, in addition to clapgen's own; see `load_thesaurus`.
            diverse: 0 to 1, how much the sounds should differ from each other; see `diverse_order`.

        Raises:
            ClapgenError: nothing to search for, an empty library, `k` beyond its size, a sound that cannot be read, the
                wrong CLAP.
        """
        query = make_query(text, like, without, weight)
        if words and not query.texts:
            raise ClapgenError("a search by words needs a text.")
        if not 0 <= diverse <= 1:
            raise ClapgenError(f"diverse must be between 0 and 1, not {diverse:g}.")
        k = self._checked_k(k)
        selection = make_selection(min_seconds, max_seconds, tags, licences, under, whole)
        search = Search(self.store, lambda: self.clap, query, k, selection)
        return self._hits(search.run(words, thesaurus, diverse))

    def neighbours(self, embeddings: Queries, k: int, selection: Selection | None = None) -> list[list[Hit]]:
        """For each embedding (q, dim) of length 1 of the library's CLAP, the k nearest sounds, best first."""
        found = self.store.nearest(np.asarray(embeddings, dtype=np.float32), k, selection or Selection())
        sounds = {sound.id: sound for sound in self.store.sounds(sorted({n.sound for each in found for n in each}))}
        return [[Hit(sounds[n.sound], n.score, n.moments) for n in each if n.sound in sounds] for each in found]

    def add(
        self,
        sources: Sources | Iterable[str | os.PathLike[str]] | str | os.PathLike[str],
        cache: Cache | None = None,
        advance: Advance = lambda count: None,
        max_seconds: float = 24 * 3600.0,
    ) -> AddReport:
        """Add files, folders and manifests, or bring them up to date; see `find_sources` and `add_sources`.

        Args:
            cache: where embeddings are looked up and stored, such as `EmbeddingCache()`.
            advance: called with the number of files just done.
            max_seconds: longer sounds are skipped.

        Raises:
            ClapgenError: a path does not exist, the library cannot be written, or another process writes to it; the
                wrong CLAP.
        """
        from clapgen.library.adding import add_sources
        from clapgen.library.embedding import SoundEmbedder
        from clapgen.library.sources import Sources, find_sources

        if not isinstance(sources, Sources):
            sources = find_sources([sources] if isinstance(sources, str | os.PathLike) else sources)

        def make_embedder(pool: ThreadPoolExecutor) -> SoundEmbedder:
            return SoundEmbedder(self.clap, cache, pool, max_seconds)

        with self.store.writing():
            if self._model is not None:
                self._check_clap(self.clap)
            if "clap" not in self.store.facts():
                self._adopt(self.clap)
            self._remember(sources.folders)
            try:
                return add_sources(self.store, sources, make_embedder, advance)
            finally:
                self.store.tidy()

    def remove(self, paths: Iterable[str | os.PathLike[str]] = (), vanished: bool = False) -> list[Path]:
        """Take sounds out of the library, not from the disk: files, all below folders, or those that have vanished.

        Raises:
            ClapgenError: the library has no sound at one of the paths, or cannot be written.
        """
        from clapgen.library.sources import canonical

        with self.store.writing():
            states = self.store.states()
            chosen = {id for id, (_, gone) in states.items() if vanished and gone}
            roots = self.folders
            for path in map(canonical, paths):
                below = {id for id, (state, _) in states.items() if state.path == path or path in state.path.parents}
                if not below and path not in roots:
                    raise ClapgenError(f"the library {self.store.location} has no sound at {path}.")
                chosen |= below
                roots = [root for root in roots if root != path]
            self.store.write(Changes(removed=sorted(chosen)))
            if roots != self.folders:
                self.store.set_facts({"folders": json.dumps([os.fspath(root) for root in roots])})
            self.store.tidy()
        return [states[id][0].path for id in sorted(chosen)]

    @property
    def folders(self) -> list[Path]:
        """The folders that were added, which `add` looks through again if it is given nothing."""
        return [Path(folder) for folder in json.loads(self.store.facts().get("folders", "[]"))]

    @property
    def clap_name(self) -> str:
        """Name and hash of the CLAP that the library was made with; "" while it is empty."""
        facts = self.store.facts()
        return f"{facts['model']} ({facts['hash']})" if "clap" in facts else ""

    def _remember(self, folders: Sequence[Path]) -> None:
        known = self.folders
        new = [folder for folder in folders if not any(folder == k or k in folder.parents for k in known)]
        if new:
            kept = [folder for folder in known if not any(n in folder.parents for n in new)]
            self.store.set_facts({"folders": json.dumps([os.fspath(folder) for folder in kept + new])})

    def _checked_k(self, k: int | None) -> int:
        size = len(self)
        if not size:
            raise ClapgenError(
                f"the library {self.store.location} is empty; add sounds with `clapgen library add "
                f"{self.store.location} FOLDER`."
            )
        if k is None:
            return min(USUAL_K, size)
        if not 1 <= k <= size:
            raise ClapgenError(f"cannot find {k} sounds in a library of {size}; give a number from 1 to {size}.")
        return k

    def _hits(self, found: Sequence[Nearby]) -> list[Hit]:
        sounds = {sound.id: sound for sound in self.store.sounds([nearby.sound for nearby in found])}
        return [Hit(sounds[n.sound], n.score, n.moments) for n in found if n.sound in sounds]

    def _adopt(self, clap: ClapEmbedder) -> None:
        """Make this the CLAP of a new library."""
        name = self._model or "default"
        facts = {"model": os.path.abspath(name) if os.path.isdir(name) else name, "hash": clap.hash}
        self.store.set_facts({**facts, "clap": _identity(clap), "dim": str(clap.dim)})

    def _check_clap(self, clap: ClapEmbedder) -> None:
        if not clap.hash:
            raise ClapgenError(f"the model {clap.name} is not saved, and a library must know its CLAP; save it.")
        facts = self.store.facts()
        if "clap" in facts and facts["clap"] != _identity(clap):
            raise ClapgenError(
                f"the library {self.store.location} was made with the CLAP {facts['model']} ({facts['hash']}), not "
                f"with {clap.name} ({clap.hash}); use that one, or make a new library."
            )


def make_selection(
    min_seconds: float | None = None,
    max_seconds: float | None = None,
    tags: Sequence[str] = (),
    licences: Sequence[str] = (),
    under: Sequence[str | os.PathLike[str]] = (),
    whole: bool = False,
) -> Selection:
    """A selection, with folders by their one route without links."""
    folders = tuple(Path(os.path.realpath(folder)) for folder in under)
    return Selection(min_seconds, max_seconds, tuple(tags), tuple(licences), folders, (), whole)


def _identity(clap: ClapEmbedder) -> str:
    """What the embeddings of a CLAP depend on, but for rounding."""
    return json.dumps([clap.hash, clap.window_policy, clap.sample_rate, clap.dim])
