"""Captions evaluated: against references and labels, and against the sounds themselves where there are any."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from clapgen.data.caption_tables import read_caption_table
from clapgen.data.manifest import Clip
from clapgen.data.tables import TableRow
from clapgen.embedders.cache import Embedded
from clapgen.errors import ClapgenError
from clapgen.evaluation.context import EvaluationContext, content_summary, row_of_path, skipped_files, try_metric
from clapgen.evaluation.names import SoundNames
from clapgen.evaluation.sounds import read_sounds
from clapgen.metrics.captions.scores import CaptionScores, caption_scores, diversity, keyword_accuracy
from clapgen.metrics.captions.synonyms import load_synonyms
from clapgen.metrics.embeddings.clap_score import bootstrap_interval, clap_score, clap_score_bounds
from clapgen.metrics.external.aac_metrics import aac_metrics_scores
from clapgen.report.model import Metric, Report, Row

SCALES = {"CIDEr-D": "0 to 10", "vocabulary": "different words", "words": "words per caption"}
NEUTRAL = ("vocabulary", "distinct_captions", "words")
COSINE = "cosine −1 to 1, × 1"


@dataclass(frozen=True)
class AacMetrics:
    """Which scores of aac-metrics to add, and the Python that has it (`clapgen.metrics.external.aac_metrics`)."""

    metrics: Sequence[str]
    python: str | Path | None = None


@dataclass
class _Scored:
    """Metrics, and the scores of single captions by column and row."""

    metrics: list[Metric] = field(default_factory=list)
    columns: dict[str, dict[int, float]] = field(default_factory=dict)

    def add(self, scores: CaptionScores, rows: Sequence[int], seed: int) -> None:
        self.metrics += [
            Metric(
                name.replace("_", " "),
                value,
                len(rows),
                _interval(value, scores.clips.get(name, []), seed),
                SCALES.get(name, "0 to 1"),
                None if name in NEUTRAL else name != "fer",
            )
            for name, value in scores.corpus.items()
        ]
        self.columns |= {name: dict(zip(rows, values, strict=True)) for name, values in scores.clips.items()}


def evaluate_captions(
    table: str | Path,
    context: EvaluationContext,
    *,
    reference: str | Path | None = None,
    audio: str | Path | None = None,
    synonyms: str | Path | None = None,
    aac_metrics: AacMetrics | None = None,
) -> Report:
    """BLEU, ROUGE-L, CIDEr-D, diversity, keyword accuracy, and with `audio` the CLAP score of captions.

    Args:
        table: see `read_caption_table`.
        context: with a model if `audio` is given.
        reference: manifest with captions and labels of the clips, instead of those of the table.
        audio: folder of the sounds in the table.
        synonyms: see `load_synonyms`.
        aac_metrics: also compute SPICE, METEOR, FENSE, …

    Raises:
        ClapgenError: the table cannot be used, or a requirement of `aac_metrics` is missing.
    """
    rows = read_caption_table(table, reference)
    referenced = bool(rows[0].lists["references"])
    if aac_metrics is not None and not referenced:
        raise ClapgenError("--aac-metrics compares captions with references; the table has none, give --reference.")
    scored = _text_scores(rows, referenced, synonyms, aac_metrics, context.seed)
    settings: dict[str, Any] = {
        "tokenizer": "coco-caption's rules, without Java",
        "references": _reference_counts(rows),
        "seed": context.seed,
    }
    embedded = None
    files = [Path(row.cells["file_name"]) for row in rows]
    clips: list[Clip] = []
    if audio is not None:
        clips = read_sounds(audio, notes=context.notes)
        files = _find_files(rows, Path(audio), clips)
        embedded = context.embed(files, "Embedding")
        _add_clap_scores(scored, rows, files, embedded, context)
        settings |= context.describe_model() | {"content": content_summary(embedded)}
    return context.report(
        "captions",
        f"Captions: {len(rows)} clips",
        scored.metrics,
        clips=[_clip(row, index, scored, files[index]) for index, row in enumerate(rows)],
        settings=settings,
        warnings=_warnings([row.cells["caption_predicted"] for row in rows]),
        skipped=skipped_files(embedded) if embedded else [],
        lower_is_better=["fer"],
        sounds={str(clip.path) for clip in clips},
    )


def _text_scores(
    rows: Sequence[TableRow],
    referenced: bool,
    synonyms: str | Path | None,
    aac_metrics: AacMetrics | None,
    seed: int,
) -> _Scored:
    candidates = [row.cells["caption_predicted"] for row in rows]
    references = [row.lists["references"] for row in rows]
    scored = _Scored()
    every = range(len(rows))
    scored.add(caption_scores(candidates, references) if referenced else diversity(candidates), every, seed)
    if aac_metrics is not None:
        scores = aac_metrics_scores(candidates, references, aac_metrics.metrics, aac_metrics.python)
        scored.add(scores, every, seed)
    if referenced and len(rows) < 2:
        note = "needs at least 2 clips"
        scored.metrics.append(Metric("CIDEr-D", None, 1, scale="0 to 10", higher_is_better=True, note=note))
    labelled = [index for index, row in enumerate(rows) if row.lists["labels"]]
    if labelled:
        labels = [rows[index].lists["labels"] for index in labelled]
        named = keyword_accuracy([candidates[index] for index in labelled], labels, load_synonyms(synonyms))
        scored.add(named, labelled, seed)
    return scored


def _add_clap_scores(
    scored: _Scored, rows: Sequence[TableRow], files: Sequence[Path], embedded: Embedded, context: EvaluationContext
) -> None:
    """CLAP score of captions with their sounds, its floor, and as ceiling that of the references."""
    row_of = row_of_path(embedded)
    # an empty caption cannot be compared
    scorable = [i for i, row in enumerate(rows) if files[i] in row_of and row.cells["caption_predicted"].strip()]
    n, seed = len(scorable), context.seed
    if not scorable:
        scored.metrics.append(Metric("CLAP score of captions", None, 0, scale=COSINE, note="all captions are empty"))
        return
    captions = [rows[i].cells["caption_predicted"] for i in scorable]
    audio, text = embedded.embeddings[[row_of[files[i]] for i in scorable]], context.embed_texts(captions)
    score = clap_score(audio, text, seed=seed)
    scored.columns["CLAP score"] = dict(zip(scorable, score.cosines.tolist(), strict=True))
    scored.metrics.append(Metric("CLAP score of captions", score.mean, n, score.interval, COSINE, True))
    floor = try_metric(
        "CLAP score of shuffled captions (floor)",
        n,
        lambda: clap_score_bounds(audio, text, groups=captions, seed=seed).floor.mean,
        scale=COSINE,
    )
    scored.metrics.append(floor)
    if rows[0].lists["references"]:
        first = clap_score(audio, context.embed_texts([rows[i].lists["references"][0] for i in scorable]), seed=seed)
        name, note = "CLAP score of references (ceiling)", "first reference of each clip"
        scored.metrics.append(Metric(name, first.mean, n, first.interval, COSINE, None, note))


def _find_files(rows: Sequence[TableRow], folder: Path, clips: Sequence[Clip]) -> list[Path]:
    """The sound of each row, by its path below the folder, or else by a name without suffix or with other spaces."""
    names = SoundNames(clips)
    files = []
    for row in rows:
        name = row.cells["file_name"]
        found = names.find(name)
        path = folder / name
        files.append(clips[found[0]].path if len(found) == 1 and not os.path.isfile(path) else path)
    return files


def _clip(row: TableRow, index: int, scored: _Scored, file: Path) -> Row:
    references = row.lists["references"]
    clip: Row = {"path": str(file), "caption": row.cells["caption_predicted"]}
    if references:
        clip["reference"] = references[0]
    for column, values in scored.columns.items():
        value = values.get(index)
        clip[column] = int(value) if column == "words" and value is not None else value
    return clip


def _interval(value: float, of_clips: Sequence[float], seed: int) -> tuple[float, float] | None:
    """Only for scores that are the mean of the clips' scores; corpus BLEU is not."""
    if len(of_clips) < 2 or not np.isclose(value, np.mean(of_clips), rtol=1e-9, atol=0):
        return None
    return bootstrap_interval(np.asarray(of_clips, dtype=np.float64), seed=seed)


def _reference_counts(rows: Sequence[TableRow]) -> str:
    counts = [len(row.lists["references"]) for row in rows]
    if not max(counts):
        return "none; keyword accuracy only"
    return " to ".join(map(str, sorted({min(counts), max(counts)}))) + " per clip"


def _warnings(candidates: Sequence[str]) -> list[str]:
    empty = sum(not candidate.strip() for candidate in candidates)
    warnings = [f"{empty} of {len(candidates)} captions are empty; they score 0."] if empty else []
    if len(candidates) > 1 and len(set(candidates)) == 1:
        warnings.append("All captions are identical: the captioner ignores the audio.")
    return warnings
