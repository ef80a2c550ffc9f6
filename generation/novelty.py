"""`NoveltyGuard`: generates with further seeds while a sound is too near to one of a library."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clapgen.errors import ClapgenError
from clapgen.fingerprints import FingerprintIndex, fingerprint, fingerprint_files
from clapgen.library.store import is_server
from generation.requests import DEFAULTS, SEEDS

if TYPE_CHECKING:
    import torch

    from clapgen.embedders.store import Store as Cache
    from clapgen.library import Library
    from clapgen.library.records import Sound
    from generation.generator import Generation, Generator

logger = logging.getLogger(__name__)

USUAL_TRIES = 8
COMPARED = 50  # sounds of the library, the nearest by embedding, that are also compared by fingerprint
_SEED_STEP = 1 << 32  # between tries, far from the seeds of candidates and of other sounds


class TooSimilarError(ClapgenError):
    """Every try was too near to a sound of the library."""


@dataclass(frozen=True)
class Finding:
    """How near a sound is to a library: `similarity`, the cosine with the nearest sound, at `nearest`; or that it is
    the `same_recording` as that sound."""

    similarity: float
    nearest: str
    same_recording: bool = False

    def __str__(self) -> str:
        name = Path(self.nearest).name
        return f"the recording {name} again" if self.same_recording else f"{self.similarity:.2f} similar to {name}"


@dataclass
class NoveltyGuard:
    """A `Generator` whose sounds are no nearer to those of a library than allowed.

    A sound is too near if its CLAP cosine with a sound of the library, or with a window of one, is above
    `max_similarity`, or if the two have a fingerprint in common (`clapgen.fingerprints`). Then it is generated again
    with other seeds, at most `tries` times in all. What was found is in `Generation.novelty`, and in sidecars.

    Attributes:
        cache: where the fingerprints of the library are looked up and stored.
        report: called with a sentence for each sound that is rejected.

    Raises:
        TooSimilarError: by `generate`, if every try was too near.
    """

    generator: Generator
    library: Library
    max_similarity: float
    tries: int = USUAL_TRIES
    cache: Cache | None = None
    report: Callable[[str], None] = lambda sentence: None
    sample_rate: int = field(init=False)
    _unread: set[Path] = field(init=False, default_factory=set, repr=False)

    def __post_init__(self) -> None:
        self.sample_rate = self.generator.sample_rate

    @property
    def device(self) -> torch.device:
        """That of the generator."""
        return self.generator.device

    def describe(self) -> Mapping[str, Any]:
        """What decides the sounds: the generator, and what they must differ from."""
        return {**self.generator.describe(), **novelty_plan(self.library, self.max_similarity, self.tries)}

    def prompt_warnings(self, prompts: Sequence[str]) -> dict[str, list[str]]:
        """Those of the generator."""
        return self.generator.prompt_warnings(prompts)

    def generate(self, prompts: Sequence[str], *arguments: Any, **settings: Any) -> list[Generation]:
        """One sound per prompt, as by the generator, with its settings by name; every try makes all candidates."""
        if arguments:
            raise TypeError("NoveltyGuard.generate takes settings by name only")
        seed, seeds = settings.pop("seed", DEFAULTS.seed), settings.pop("seeds", None)
        first_seeds = [seed] * len(prompts) if seeds is None else seeds
        generations = self.generator.generate(prompts, seeds=first_seeds, **settings)
        return [
            self._novel(generation, first, settings) for generation, first in zip(generations, first_seeds, strict=True)
        ]

    def _novel(self, generation: Generation, first_seed: int, settings: Mapping[str, Any]) -> Generation:
        seed, rejected = first_seed, list[dict[str, Any]]()
        while True:
            found = self.compare(generation)
            if not found.same_recording and found.similarity <= self.max_similarity:
                break
            rejected.append({"seed": seed, **vars(found)})
            self.report(f"'{generation.prompt[:40]}' with seed {seed} is {found}.")
            if len(rejected) == self.tries:
                nearest = min(rejected, key=lambda each: (each["same_recording"], each["similarity"]))
                raise TooSimilarError(
                    f"'{generation.prompt[:40]}': all of {self.tries} tries are too near to the library "
                    f"{self.library.store.location}, at best {_finding(nearest)}; "
                    "raise --max-similarity or --tries, or change the prompt."
                )
            seed = (seed + _SEED_STEP) % SEEDS
            [generation] = self.generator.generate([generation.prompt], seeds=[seed], **settings)
        [plan] = novelty_plan(self.library, self.max_similarity, self.tries).values()
        generation.novelty = {
            **plan,
            "requested_seed": first_seed,
            "seed": seed,
            "similarity": found.similarity,
            "nearest": found.nearest,
            "rejected": rejected,
        }
        return generation

    def compare(self, generation: Generation) -> Finding:
        """How near a sound is to the library.

        Raises:
            ClapgenError: the library is empty.
        """
        import numpy as np

        sound = generation.waveform, generation.sample_rate
        embedding = self.library.clap.embed_audio([sound[0]], sound[1]).float().cpu().numpy()
        embedding /= np.maximum(np.linalg.norm(embedding, axis=1, keepdims=True), 1e-9)
        [hits] = self.library.neighbours(embedding, COMPARED)
        if not hits:
            raise ClapgenError(f"the library {self.library.store.location} is empty; there is nothing to differ from.")
        nearest = Finding(round(float(hits[0].score), 6), os.fspath(hits[0].path))
        if nearest.similarity > self.max_similarity:
            return nearest
        for match in self._index([hit.sound for hit in hits]).matches(fingerprint(*sound)):
            similarity = next(float(hit.score) for hit in hits if hit.path == match.key)
            return Finding(round(similarity, 6), os.fspath(match.key), same_recording=True)
        return nearest

    def _index(self, sounds: Sequence[Sound]) -> FingerprintIndex[Path]:
        current = {sound.path: sound.file.digest for sound in sounds if sound.file.is_current()}
        fingerprints, _ = fingerprint_files(current, self.cache)
        index: FingerprintIndex[Path] = FingerprintIndex()
        for path, printed in fingerprints.items():
            index.add(path, printed)
        known = {current[path] for path in fingerprints}
        for sound in sounds:
            if sound.file.digest not in known and sound.path not in self._unread:
                self._unread.add(sound.path)
                logger.warning("%s has changed, is gone or cannot be read: compared by its embedding only", sound.path)
        return index


def novelty_plan(library: Library, max_similarity: float, tries: int) -> dict[str, Any]:
    """What is recorded of a guard before anything is generated."""
    location = library.store.location
    location = location if is_server(location) else os.path.abspath(location)
    return {"novelty": {"library": location, "max_similarity": max_similarity, "tries": tries}}


def _finding(rejected: Mapping[str, Any]) -> Finding:
    return Finding(**{key: value for key, value in rejected.items() if key != "seed"})
