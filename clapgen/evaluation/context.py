"""What every evaluation runs with (model, cache, seed, progress), and the parts of a report that all of them share."""

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

from clapgen import __version__
from clapgen.embedders import ClapEmbedder, Embedder
from clapgen.embedders.cache import Advance, Array, Embedded, Inspect, embed_files
from clapgen.embedders.file_identity import SoundFile, identify_files
from clapgen.embedders.store import MemoryStore, Store
from clapgen.embedders.text_cache import embed_texts
from clapgen.embedders.text_length import cut_warning
from clapgen.errors import ClapgenError
from clapgen.metrics.embeddings.base import NotMeasurable
from clapgen.report.model import Metric, Report, Skipped

PACKAGES = ("torch", "numpy", "soundfile", "soxr")

Progress = Callable[[int, str], AbstractContextManager[Advance]]


@contextmanager
def no_progress(total: int, what: str) -> Iterator[Advance]:
    """Show nothing."""
    yield lambda count: None


@dataclass
class EvaluationContext:
    """What one evaluation runs with. Each file is hashed once in its lifetime, and embedded once per model.

    Attributes:
        model: the CLAP that scores; None for evaluations that need no model.
        cache: where embeddings are kept; in memory, until the evaluation ends, by default.
        progress: ``progress(total, what)``, a context that yields a function to call with how many more are done.
        strict: raise an error instead of skipping a file or reporting a warning.
        seed: of the bootstrap intervals and subsets.
        command: the command line that the report shows.
        notes: what the reader of the report should know about the inputs; they become the last of its warnings.
    """

    model: ClapEmbedder | None = None
    cache: Store = field(default_factory=MemoryStore)
    progress: Progress = no_progress
    strict: bool = False
    seed: int = 0
    command: str = ""
    notes: list[str] = field(default_factory=list)
    _started: float = field(default_factory=time.perf_counter, init=False)
    _texts: dict[str, None] = field(default_factory=dict, init=False, repr=False)
    _identified: dict[Path, SoundFile] = field(default_factory=dict, init=False, repr=False)

    @property
    def clap(self) -> ClapEmbedder:
        """The model. A context without one raises `ClapgenError`."""
        if self.model is None:
            raise ClapgenError("this evaluation needs a CLAP model; give EvaluationContext one.")
        return self.model

    def identify(self, paths: Sequence[Path]) -> list[SoundFile]:
        """Content hash, sample rate and duration of the files that can be opened."""
        unknown = [path for path in dict.fromkeys(paths) if path not in self._identified]
        files, _ = identify_files(unknown, self.cache, strict=self.strict)
        self._identified |= {file.path: file for file in files}
        return [self._identified[path] for path in paths if path in self._identified]

    def embed(
        self,
        paths: Sequence[Path],
        what: str,
        embedder: Embedder | None = None,
        *,
        frames: bool = False,
        band_limit: int | None = None,
        inspect: Inspect | None = None,
    ) -> Embedded:
        """`embed_files` with this cache and strictness, by the CLAP unless `embedder` is given.

        The progress bar shows `what`.
        """
        self.identify(paths)
        with self.progress(len(paths), what) as advance:
            return embed_files(
                [self._identified.get(path, path) for path in paths],
                embedder or self.clap,
                self.cache,
                frames=frames,
                band_limit=band_limit,
                inspect=inspect,
                strict=self.strict,
                advance=advance,
            )

    def embed_texts(self, texts: Sequence[str]) -> Array:
        """Embeddings (n, dim) of sentences."""
        self._texts |= dict.fromkeys(texts)
        return embed_texts(texts, self.clap, self.cache)

    @property
    def logit_scale(self) -> float:
        """The model's inverse temperature."""
        return float(self.clap.logit_scale.detach())

    def describe_model(self) -> dict[str, Any]:
        """The settings of a report that describe the model."""
        return describe(self.clap)

    def warn_or_raise(self, warning: str, fix: str) -> str:
        """The warning, or, if strict, an error with the warning and how to fix it."""
        if self.strict:
            raise ClapgenError(f"{warning} {fix} (--strict makes this an error.)")
        return warning

    def report(self, kind: str, title: str, metrics: list[Metric], **rest: Any) -> Report:
        """A report with time, versions, date, command, `notes`, and a warning about texts that were cut."""
        cut = cut_warning(list(self._texts), self.clap) if self._texts else ""
        rest["warnings"] = [*rest.get("warnings", []), *self.notes, *([f"{cut[0].upper()}{cut[1:]}"] if cut else [])]
        return Report(
            kind,
            title,
            metrics,
            seconds=time.perf_counter() - self._started,
            command=self.command,
            versions=versions(),
            date=datetime.now().astimezone().isoformat(timespec="seconds"),
            **rest,
        )


def describe(embedder: Embedder) -> dict[str, Any]:
    """Name, hash, sample rate and window policy of an embedder."""
    return {
        "model": embedder.name,
        "model hash": embedder.hash or "not saved",
        "model sample rate": f"{embedder.sample_rate} Hz",
        "window policy": embedder.window_policy,
    }


def versions() -> dict[str, str]:
    """Versions of Python, clapgen and the packages that compute."""
    return {
        "python": platform.python_version(),
        "clapgen": __version__,
        **{name: metadata.version(name) for name in PACKAGES},
    }


def skipped_files(*embedded: Embedded) -> list[Skipped]:
    """The files that could not be read, as a report lists them."""
    reasons = {path: reason for each in embedded for path, reason in each.skipped}
    return [Skipped(str(path), reason) for path, reason in reasons.items()]


def content_summary(embedded: Embedded) -> str:
    """The number of files and a hash of their contents, in any order: equal if two reports are about the same files."""
    return digest_summary(embedded.digests)


def digest_summary(digests: Sequence[str]) -> str:
    """`content_summary` of files with these sha256 digests."""
    digest = hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()
    return f"{len(digests)} files, {digest[:12]}"


def try_metric(name: str, n: int, measure: Callable[[], Metric | float], **about: Any) -> Metric:
    """A metric; if it is `NotMeasurable` from these clips, one without a value whose note says what it needs.

    Other errors, such as broken embeddings, are raised.
    """
    try:
        value = measure()
    except NotMeasurable as error:
        return Metric(name, None, n, note=str(error), **{key: about[key] for key in about if key != "note"})
    return value if isinstance(value, Metric) else Metric(name, value, n, **about)


def row_of_path(embedded: Embedded) -> dict[Path, int]:
    """File → its row of the embeddings."""
    return {path: row for row, path in enumerate(embedded.paths)}
