"""Audio entailment evaluated: does a sentence follow from a sound, by two thresholds fitted on other pairs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from clapgen.data.tables import TableRow, read_table
from clapgen.embedders.cache import Embedded
from clapgen.evaluation.setup import Setup, rows_of
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
        """Which sound and which sentence each pair is."""
        digests = dict(zip(self.embedded.paths, self.embedded.digests, strict=True))
        return [(digests[file], row.cells["text"]) for file, row in zip(self.files, self.rows, strict=True)]


@dataclass
class EntailmentPart:
    """What entailment adds to a report of composition."""

    metrics: list[Metric]
    clips: list[Row]
    confusion: Confusion
    thresholds: str
    warnings: list[str]
    embedded: list[Embedded]


def evaluate_entailment(path: Path, dev: Path, setup: Setup) -> EntailmentPart:
    """Thresholds fitted on the pairs of `dev`, judged on those of `path`: tables of sounds, sentences and labels.

    Raises:
        ClapgenError: a table that cannot be used, a label that is none of the three, or that no pair has; strict, and
            both tables share pairs.
    """
    fitted_on, judged = _judge(dev, setup), _judge(path, setup)
    warnings = []
    known = set(fitted_on.contents)
    shared = sum(pair in known for pair in judged.contents)
    if shared:
        warning = f"{shared} of {len(judged.rows)} pairs of {path} are among those of {dev}, on which was fitted."
        warnings.append(setup.differ(warning, "Take them out of one."))
    thresholds = fit_thresholds(fitted_on.cosines, fitted_on.labels)
    found = audio_entailment(judged.cosines, judged.labels, thresholds, seed=setup.seed)
    return EntailmentPart(
        _figures(found),
        _clips(judged, thresholds),
        Confusion(list(LABELS), found.confusion.tolist()),
        f"contradiction below {thresholds.low:.4f}, entailment from {thresholds.high:.4f} on; fitted for macro F1 on "
        f"{thresholds.n} pairs of {dev}, where they reach {thresholds.score:.3f}",
        warnings,
        [fitted_on.embedded, judged.embedded],
    )


def _judge(path: Path, setup: Setup) -> _Judged:
    rows = read_table(path, COLUMNS)
    files = [row.path("path", path.parent) for row in rows]
    embedded = setup.embed(list(dict.fromkeys(files)), "Embedding")
    at = rows_of(embedded)
    kept = [index for index, file in enumerate(files) if file in at]
    rows, files = [rows[index] for index in kept], [files[index] for index in kept]
    audio = embedded.embeddings[[at[file] for file in files]]
    return _Judged(rows, files, embedded, paired_cosines(audio, setup.embed_texts([row.cells["text"] for row in rows])))


def _figures(found: Entailment) -> list[Metric]:
    note = f"always the commonest label reaches {found.majority:.3f}"
    return [
        Metric("entailment: accuracy", found.accuracy, found.n, found.interval, "0 to 1", True, note),
        Metric("entailment: macro F1", found.macro_f1, found.n, None, "0 to 1", True),
        *(
            Metric(f"entailment: F1 of {label}", value, found.n, None, "0 to 1", True)
            for label, value in found.f1.items()
        ),
    ]


def _clips(judged: _Judged, thresholds: EntailmentThresholds) -> list[Row]:
    """`margin`: how far the cosine lies inside the region of its own label; below 0 it is misjudged."""
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
