"""What every evaluation is given (model, cache, seed, progress), and what every report carries besides its figures."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from clapgen import __version__
from clapgen.embedders import ClapEmbedder, Embedder
from clapgen.embedders.cache import Advance, Array, Embedded, EmbeddingCache, Inspect, embed_files
from clapgen.embedders.text_cache import embed_texts
from clapgen.errors import ClapgenError
from clapgen.report.model import Metric, Report, Skipped

PACKAGES = ("torch", "numpy", "soundfile", "soxr")


Progress = Callable[[int, str], AbstractContextManager[Advance]]


@contextmanager
def no_progress(total: int, what: str) -> Iterator[Advance]:
    """Say nothing."""
    yield lambda count: None


@dataclass(kw_only=True)
class Run:
    """What every evaluation has, also one that hears nothing.

    Attributes:
        strict: fail where otherwise a file is left out or a difference is bridged with a warning.
        seed: of everything that is drawn.
        command: what the report says it was made by.
    """

    strict: bool = False
    seed: int = 0
    command: str = ""
    started: float = field(default_factory=time.perf_counter)

    def report(self, kind: str, title: str, metrics: list[Metric], **rest: Any) -> Report:
        """A report with the time it took, versions, date and command."""
        return Report(
            kind,
            title,
            metrics,
            seconds=time.perf_counter() - self.started,
            command=self.command,
            versions=versions(),
            date=datetime.now().astimezone().isoformat(timespec="seconds"),
            **rest,
        )

    def differ(self, warning: str, mend: str) -> str:
        """The warning, or, when strict, an error that says it."""
        if self.strict:
            raise ClapgenError(f"{warning} {mend} --strict fails on it.")
        return warning


@dataclass
class Setup(Run):
    """What an evaluation of sounds runs with.

    Attributes:
        clap: the model that hears and reads.
        cache: where embeddings are kept; None for nowhere.
        progress: ``progress(total, what)``, a context that gives a function to call with how many more are done.
    """

    clap: ClapEmbedder
    cache: EmbeddingCache | None = None
    progress: Progress = no_progress

    def embed(
        self,
        paths: Sequence[Path],
        what: str,
        embedder: Embedder | None = None,
        band_limit: int | None = None,
        inspect: Inspect | None = None,
    ) -> Embedded:
        """`embed_files` with this cache and strictness; `what` is shown while it runs."""
        with self.progress(len(paths), what) as advance:
            return embed_files(
                paths,
                embedder or self.clap,
                self.cache,
                band_limit=band_limit,
                inspect=inspect,
                strict=self.strict,
                advance=advance,
            )

    def embed_texts(self, texts: Sequence[str]) -> Array:
        """Embeddings (n, dim) of sentences."""
        return embed_texts(texts, self.clap, self.cache)

    @property
    def logit_scale(self) -> float:
        """The model's inverse temperature."""
        return float(self.clap.logit_scale.detach())

    def text_model(self) -> dict[str, Any]:
        """The settings that say by what everything was measured."""
        return describe(self.clap)


def describe(embedder: Embedder) -> dict[str, Any]:
    """Name, hash, rate and window policy of an embedder."""
    return {
        "model": embedder.name,
        "model hash": embedder.hash or "not saved",
        "model sample rate": f"{embedder.sample_rate} Hz",
        "window policy": embedder.window_policy,
    }


def versions() -> dict[str, str]:
    """Of Python, clapgen and what computes."""
    found = {"python": platform.python_version(), "clapgen": __version__}
    return found | {name: metadata.version(name) for name in PACKAGES}


def skipped(*embedded: Embedded) -> list[Skipped]:
    """What could not be read, as a report lists it."""
    reasons = {path: reason for each in embedded for path, reason in each.skipped}
    return [Skipped(str(path), reason) for path, reason in reasons.items()]


def content_hash(embedded: Embedded) -> str:
    """How many files, and the hash of their contents in any order; copies count."""
    digest = hashlib.sha256("".join(sorted(embedded.digests)).encode()).hexdigest()
    return f"{len(embedded.paths)} files, {digest[:12]}"


def measured(name: str, n: int, measure: Callable[[], Metric | float], **about: Any) -> Metric:
    """A figure, or, where it cannot be computed of these clips, one without value whose note says what it needs."""
    try:
        value = measure()
    except ClapgenError as error:
        return Metric(name, None, n, note=str(error), **{key: about[key] for key in about if key != "note"})
    return value if isinstance(value, Metric) else Metric(name, value, n, **about)


def rows_of(embedded: Embedded) -> dict[Path, int]:
    """Which row of the embeddings is which file's."""
    return {path: row for row, path in enumerate(embedded.paths)}


def at(values: Any, index: int | None) -> float | None:
    """One number of an array as a report's row has it."""
    return None if index is None or values is None else float(np.asarray(values)[index])
