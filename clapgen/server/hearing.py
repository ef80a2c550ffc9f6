"""The work of the routes that listen, done in the thread of the queue: each a callable that takes its job."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from clapgen.errors import ClapgenError
from clapgen.server.models import Models
from clapgen.server.sounds_in import checked_length, embed_upload, text_warnings
from clapgen.server.uploads import Upload
from clapgen.server.work import Job

SHORTEST_WINDOW = 0.5


def check_window(window: float) -> None:
    """ClapgenError if captions cannot be made for windows of so many seconds."""
    if not (window == 0 or SHORTEST_WINDOW <= window < math.inf):
        raise ClapgenError(f"window must be 0 (the whole file) or at least {SHORTEST_WINDOW} seconds, not {window:g}.")


@dataclass(frozen=True)
class TextEmbedding:
    """Embeddings of texts."""

    models: Models
    name: str
    texts: Sequence[str]

    def __call__(self, job: Job) -> dict[str, Any]:
        """The answer in OpenAI's shape."""
        clap = self.models.clap(self.name)
        vectors = clap.embed_text(list(self.texts)).tolist()
        return _embeddings(vectors, self.name, clap.hash, text_warnings(self.texts, clap))


@dataclass(frozen=True)
class Heard:
    """Work on an uploaded sound that is no longer than `max_seconds`."""

    models: Models
    name: str
    upload: Upload
    max_seconds: float

    @property
    def _source(self) -> dict[str, Any]:
        return {"file": self.upload.name, "model": self.name}


class SoundEmbedding(Heard):
    """The embedding of a sound."""

    def __call__(self, job: Job) -> dict[str, Any]:
        """The answer in OpenAI's shape."""
        clap = self.models.clap(self.name)
        sound = embed_upload(job, clap, self.upload, self.max_seconds)
        note = [f"{self.upload.name}: {sound.note}; its embedding is not meaningful."] if sound.note else []
        answer = _embeddings([sound.embedding.tolist()], self.name, clap.hash, note)
        return {**answer, "seconds": sound.seconds}


@dataclass(frozen=True)
class Captions(Heard):
    """Captions of a sound, window by window."""

    window: float
    candidates: int
    min_score: float | None
    bridge: str | None

    def __call__(self, job: Job) -> dict[str, Any]:
        """As `clapgen caption --json` says it."""
        from captioning.segments import caption_files

        seconds = checked_length(self.upload, self.max_seconds)
        captioner = self.models.captioner(self.name)
        decoding = captioner.config.decoding
        if self.candidates > 1 and decoding.method == "greedy":
            decoding = dataclasses.replace(decoding, method="beam")
        total = round(seconds)
        own = captioner.bridge
        try:
            if self.bridge is not None:
                captioner.use_bridge(self.bridge.split("+"))
            [file] = caption_files(
                captioner,
                [self.upload.path],
                self.window,
                decoding,
                self.candidates,
                batch_size=8,
                report=lambda path, end: job.report(round(end), total),
                max_seconds=self.max_seconds,
            )
            used = captioner.bridge
        finally:
            captioner.use_bridge(own.split("+"))
        if file.error is not None:
            raise file.error
        hashes = captioner.describe()["hashes"]
        captions = [self._row(segment) for segment in file.segments]
        return {**self._source, "seconds": seconds, "captions": captions, "bridge": used, "hashes": hashes}

    def _row(self, segment: Any) -> dict[str, Any]:
        caption = segment.caption
        return {
            "start": round(segment.start, 3),
            "end": round(segment.end, 3),
            "caption": caption.text,
            "score": caption.score,
            "unsure": self.min_score is not None and not caption.note and caption.score < self.min_score,
            "note": caption.note,
            "candidates": [{"caption": each.text, "score": each.score} for each in caption.candidates],
        }


@dataclass(frozen=True)
class Classification(Heard):
    """Probabilities of labels."""

    labels: Sequence[str]
    template: str
    none: bool
    independent: bool
    top: int

    def __call__(self, job: Job) -> dict[str, Any]:
        """As `clapgen classify --json` says it."""
        from clapgen.clap.calibrations import NONE, answer_probabilities
        from clapgen.metrics.embeddings.zero_shot import class_prompts

        clap = self.models.clap(self.name)
        try:
            probabilities_of, warning = answer_probabilities(clap, self.none, self.independent, self.template)
        except ClapgenError as error:
            raise ClapgenError(str(error).replace("--", "")) from error
        sound = embed_upload(job, clap, self.upload, self.max_seconds)
        cosines = clap.embed_text(class_prompts(self.labels, self.template)) @ sound.embedding
        probabilities = probabilities_of(cosines)
        found: list[tuple[str, float, float | None]] = [
            *zip(self.labels, probabilities, cosines.tolist(), strict=False)
        ]
        found += [(NONE, probabilities[-1], None)] if self.none else []
        ranked = sorted(found, key=lambda answer: -answer[1])[: self.top]
        rows = [{"label": label, "probability": p, "cosine": cosine} for label, p, cosine in ranked]
        warnings = [*([warning] if warning else []), *text_warnings(self.labels, clap, "labels")]
        more = {"seconds": sound.seconds, "note": sound.note, "model_hash": clap.hash, "warnings": warnings}
        return {**self._source, "label": ranked[0][0], "labels": rows, **more}


@dataclass(frozen=True)
class Score(Heard):
    """The cosine of a sound and a text."""

    text: str

    def __call__(self, job: Job) -> dict[str, Any]:
        """As `clapgen score --json` says it."""
        clap = self.models.clap(self.name)
        sound = embed_upload(job, clap, self.upload, self.max_seconds)
        score = float(clap.embed_text([self.text])[0] @ sound.embedding)
        more = {"seconds": sound.seconds, "note": sound.note, "model_hash": clap.hash}
        return {**self._source, "text": self.text, "score": score, **more, "warnings": text_warnings([self.text], clap)}


@dataclass(frozen=True)
class Locating(Heard):
    """Where in a sound several queries are, and their curves."""

    queries: Sequence[str]
    threshold: float | None
    min_seconds: float
    max_gap: float

    def __call__(self, job: Job) -> dict[str, Any]:
        """As `clapgen locate --json` says it, and the points of the curves."""
        from clapgen.localisation.locating import locate
        from clapgen.localisation.probabilities import frame_probability
        from clapgen.localisation.segments import SegmentRules

        checked_length(self.upload, self.max_seconds)
        clap = self.models.clap(self.name)
        probability = frame_probability(clap)
        threshold = probability.threshold if self.threshold is None else self.threshold
        rules = SegmentRules(threshold, self.min_seconds, self.max_gap)
        curves: list[list[float]] = [[] for _ in self.queries]
        rates: list[float] = []

        def keep(points: Any, rate: float) -> None:
            rates.append(rate)
            for curve, column in zip(curves, points.T, strict=True):
                curve += [round(float(value), 4) for value in column]
            job.report(job.done, job.total)

        found = locate(
            clap, self.upload.path, self.queries, rules=rules, probability=probability, on_curves=keep,
            max_seconds=self.max_seconds,
        )  # fmt: skip
        rows = [
            {**asdict(each), "curve": curve} for each, curve in zip(found.queries, curves, strict=True)
        ]  # asdict also turns the segments into objects
        more = {"seconds": found.seconds, "note": found.note, "model_hash": clap.hash}
        return {**self._source, "queries": rows, "threshold": threshold, "rate": rates[0] if rates else 0.0, **more}


def _embeddings(vectors: list[list[float]], name: str, model_hash: str, warnings: list[str]) -> dict[str, Any]:
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return {"object": "list", "data": data, "model": name, "model_hash": model_hash, "warnings": warnings}
