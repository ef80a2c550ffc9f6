"""Audio entailment evaluated: does a sentence follow from a sound? Decided by two thresholds fitted on other pairs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from clapgen.data.tables import TableRow, read_table
from clapgen.embedders.cache import Embedded
from clapgen.evaluation.context import EvaluationContext, row_of_path
from clapgen.metrics.embeddings.base import Array
from clapgen.metrics.embeddings.clap_score import paired_cosines
from clapgen.metrics.embeddings.entailment import (
    LABELS,
    Entailment,
    EntailmentThresholds,
    audio_entailment,
    fit_thresholds,
)
from clapgen.report.model import Confusion, Metric, Row

COLUMNS = {
    "path": ("path", "file_name", "file", "audio"),
    "text": ("hypothesis", "text", "caption"),
    "label": ("label",),
}


@dataclass
class _Judged:
    """The pairs of a table whose sounds could be read."""

    rows: list[TableRow]
    files: list[Path]
    embedded: Embedded
    cosines: Array = field(repr=False)

    @property
    def labels(self) -> list[str]:
        return [row.cells["label"].lower() for row in self.rows]

    @property
    def contents(self) -> list[tuple[str, str]]:
        """Content hash of the sound, and the sentence, of each pair."""
        digests = dict(zip(self.embedded.paths, self.embedded.digests, strict=True))
        return [(digests[file], row.cells["text"]) for file, row in zip(self.files, self.rows, strict=True)]


@dataclass
class EntailmentPart:
    """The results of audio entailment."""

    metrics: list[Metric]
    clips: list[Row]
    confusion: Confusion
    thresholds: str
    warnings: list[str]
    embedded: list[Embedded]


def evaluate_entailment(path: Path, dev: Path, context: EvaluationContext) -> EntailmentPart:
    """Fit thresholds on the pairs of `dev` and judge those of `path`: tables of sounds, sentences and labels.

    Raises:
        ClapgenError: a table that cannot be used, an unknown label, or a label without pairs; strict, and the tables
            share pairs.
    """
    development, judged = _judge(dev, context), _judge(path, context)
    warnings = []
    known = set(development.contents)
    shared = sum(pair in known for pair in judged.contents)
    if shared:
        warning = f"{shared} of {len(judged.rows)} pairs of {path} are also in {dev}, where the thresholds are fitted."
        warnings.append(context.warn_or_raise(warning, "Remove them from one table."))
    thresholds = fit_thresholds(development.cosines, development.labels)
    found = audio_entailment(judged.cosines, judged.labels, thresholds, seed=context.seed)
    return EntailmentPart(
        _metrics(found),
        _clips(judged, thresholds),
        Confusion(list(LABELS), found.confusion.tolist()),
        f"contradiction below {thresholds.low:.4f}, entailment from {thresholds.high:.4f}; fitted for macro F1 on "
        f"{thresholds.n} pairs of {dev}, where they reach {thresholds.score:.3f}",
        warnings,
        [development.embedded, judged.embedded],
    )


def _judge(path: Path, context: EvaluationContext) -> _Judged:
    rows = read_table(path, COLUMNS, files=("path",))
    files = [row.path("path", path.parent) for row in rows]
    embedded = context.embed(list(dict.fromkeys(files)), "Embedding")
    row_of = row_of_path(embedded)
    readable = [index for index, file in enumerate(files) if file in row_of]
    rows, files = [rows[index] for index in readable], [files[index] for index in readable]
    audio = embedded.embeddings[[row_of[file] for file in files]]
    text = context.embed_texts([row.cells["text"] for row in rows])
    return _Judged(rows, files, embedded, paired_cosines(audio, text))


def _metrics(found: Entailment) -> list[Metric]:
    note = f"always predicting the most frequent label reaches {found.majority:.3f}"
    return [
        Metric("entailment: accuracy", found.accuracy, found.n, found.interval, "0 to 1", True, note),
        Metric("entailment: macro F1", found.macro_f1, found.n, None, "0 to 1", True),
        *(
            Metric(f"entailment: F1 of {label}", value, found.n, None, "0 to 1", True)
            for label, value in found.f1.items()
        ),
    ]


def _clips(judged: _Judged, thresholds: EntailmentThresholds) -> list[Row]:
    """`margin`: how far the cosine lies inside the region of its own label; below 0 it is misclassified."""
    low, high = thresholds.low, thresholds.high
    inside = {
        "contradiction": low - judged.cosines,
        "neutral": np.minimum(judged.cosines - low, high - judged.cosines),
        "entailment": judged.cosines - high,
    }
    return [
        {
            "path": str(file),
            "test": "entailment",
            "caption": row.cells["text"],
            "label": label,
            "cosine": float(judged.cosines[index]),
            "margin": float(inside[label][index]),
        }
        for index, (file, row, label) in enumerate(zip(judged.files, judged.rows, judged.labels, strict=True))
    ]
