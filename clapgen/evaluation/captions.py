"""Captions evaluated: against references, labels, and, where the sounds are there, against what is heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clapgen.data.caption_tables import CaptionRow, read_caption_table
from clapgen.embedders.cache import Embedded
from clapgen.errors import ClapgenError
from clapgen.evaluation.setup import Run, Setup, content_hash, measured, rows_of, skipped
from clapgen.metrics.captions.scores import CaptionScores, caption_scores, diversity, keyword_accuracy
from clapgen.metrics.captions.synonyms import load_synonyms
from clapgen.metrics.embeddings.clap_score import bootstrap_interval, clap_score, clap_score_bounds
from clapgen.metrics.external.aac_metrics import aac_metrics_scores
from clapgen.report.model import Metric, Report

SCALES = {"CIDEr-D": "0 to 10", "vocabulary": "different words", "words": "words a caption"}
NEUTRAL = ("vocabulary", "distinct_captions", "words")
COSINE = "cosine −1 to 1, × 1"


@dataclass(frozen=True)
class AacMetrics:
    """Which scores of aac-metrics are wanted, and the Python that has it (`clapgen.metrics.external.aac_metrics`)."""

    metrics: Sequence[str]
    python: str | Path | None = None


def evaluate_captions(
    table: str | Path,
    run: Run,
    *,
    reference: str | Path | None = None,
    audio: str | Path | None = None,
    synonyms: str | Path | None = None,
    aac_metrics: AacMetrics | None = None,
) -> Report:
    """BLEU, ROUGE-L, CIDEr-D, diversity, keyword accuracy, and with `audio` the CLAP score of captions.

    Args:
        table: see `read_caption_table`.
        run: a `Setup` where `audio` is given.
        reference: manifest that has the clips' captions and labels, where the table has none.
        audio: folder of the sounds that the table names.
        synonyms: see `load_synonyms`.
        aac_metrics: SPICE, METEOR, FENSE, … besides.

    Raises:
        ClapgenError: the table cannot be used, or what is missing for `aac_metrics`.
    """
    rows = read_caption_table(table, reference)
    candidates = [row.caption_predicted for row in rows]
    clips: list[dict[str, Any]] = [{"path": row.file_name, "caption": row.caption_predicted} for row in rows]
    referenced = bool(rows[0].references)
    for clip, row in zip(clips, rows, strict=True):
        clip |= {"reference": row.references[0]} if referenced else {}
    if aac_metrics is not None and not referenced:
        raise ClapgenError("--aac-metrics compares captions with references; the table has none, give --reference.")
    metrics: list[Metric] = []
    scores = [caption_scores(candidates, [row.references for row in rows])] if referenced else [diversity(candidates)]
    if aac_metrics is not None:
        references = [row.references for row in rows]
        scores.append(aac_metrics_scores(candidates, references, aac_metrics.metrics, aac_metrics.python))
    for each in scores:
        metrics += _figures(each, len(rows), run.seed)
        _add_columns(clips, each, range(len(rows)))
    if referenced and len(rows) < 2:
        metrics.append(
            Metric("CIDEr-D", None, 1, scale="0 to 10", higher_is_better=True, note="needs 2 clips at least")
        )
    labelled = [index for index, row in enumerate(rows) if row.labels]
    if labelled:
        named = keyword_accuracy(
            [candidates[index] for index in labelled],
            [rows[index].labels for index in labelled],
            load_synonyms(synonyms),
        )
        metrics += _figures(named, len(labelled), run.seed)
        _add_columns(clips, named, labelled)
    settings: dict[str, Any] = {
        "tokenizer": "coco-caption's rules, without Java",
        "references": _reference_counts(rows),
        "seed": run.seed,
    }
    embedded = None
    if audio is not None:
        embedded = _heard(rows, Path(audio), run, metrics, clips, settings)
    return run.report(
        "captions",
        f"Captions: {len(rows)} clips",
        metrics,
        clips=clips,
        settings=settings,
        warnings=_warnings(candidates),
        skipped=skipped(embedded) if embedded else [],
        lower_is_better=["fer"],
    )


def _figures(scores: CaptionScores, n: int, seed: int) -> list[Metric]:
    return [
        Metric(
            name.replace("_", " "),
            value,
            n,
            _interval(value, scores.clips.get(name, []), seed),
            SCALES.get(name, "0 to 1"),
            None if name in NEUTRAL else name != "fer",
        )
        for name, value in scores.corpus.items()
    ]


def _interval(value: float, of_clips: Sequence[float], seed: int) -> tuple[float, float] | None:
    """Only of scores that are means of the clips' own: BLEU of a corpus is not."""
    if len(of_clips) < 2 or not np.isclose(value, np.mean(of_clips), rtol=1e-9, atol=0):
        return None
    return bootstrap_interval(np.asarray(of_clips, dtype=np.float64), seed=seed)


def _add_columns(clips: list[dict[str, Any]], scores: CaptionScores, rows: Sequence[int]) -> None:
    for name, values in scores.clips.items():
        for clip in clips:
            clip.setdefault(name, None)
        for row, value in zip(rows, values, strict=True):
            clips[row][name] = int(value) if name == "words" else value


def _reference_counts(rows: Sequence[CaptionRow]) -> str:
    counts = [len(row.references) for row in rows]
    if not max(counts):
        return "none; keyword accuracy only"
    return " to ".join(map(str, sorted({min(counts), max(counts)}))) + " a clip"


def _warnings(candidates: Sequence[str]) -> list[str]:
    empty = sum(not candidate.strip() for candidate in candidates)
    warnings = [f"{empty} of {len(candidates)} captions are empty; they score 0."] if empty else []
    if len(candidates) > 1 and len(set(candidates)) == 1:
        warnings.append("All captions are the same: the captioner does not listen.")
    return warnings


def _heard(
    rows: Sequence[CaptionRow],
    folder: Path,
    run: Run,
    metrics: list[Metric],
    clips: list[dict[str, Any]],
    settings: dict[str, Any],
) -> Embedded:
    """CLAP score of captions with their sounds, with its floor, and of the references as ceiling."""
    if not isinstance(run, Setup):
        raise ClapgenError("captions are compared with sounds by a CLAP; give a Setup that has one.")
    embedded = run.embed([folder / row.file_name for row in rows], "Embedding")
    at = rows_of(embedded)
    # an empty caption says nothing that could be compared
    kept = [i for i, row in enumerate(rows) if folder / row.file_name in at and row.caption_predicted.strip()]
    for index, row in enumerate(rows):
        clips[index]["path"] = str(folder / row.file_name)
    settings |= run.text_model() | {"content": content_hash(embedded)}
    audio = embedded.embeddings[[at[folder / rows[i].file_name] for i in kept]]
    captions = [rows[i].caption_predicted for i in kept]
    text, n, seed = run.embed_texts(captions), len(kept), run.seed
    if not kept:
        metrics.append(Metric("CLAP score of captions", None, 0, scale=COSINE, note="all captions are empty"))
        return embedded
    score = clap_score(audio, text, seed=seed)
    _add_columns(clips, CaptionScores({}, {"CLAP score": score.cosines.tolist()}), kept)
    metrics.append(Metric("CLAP score of captions", score.mean, n, score.interval, COSINE, True))
    floor = measured(
        "CLAP score of shuffled captions (floor)",
        n,
        lambda: clap_score_bounds(audio, text, groups=captions, seed=seed).floor.mean,
        scale=COSINE,
    )
    metrics.append(floor)
    if rows[0].references:
        first = clap_score(audio, run.embed_texts([rows[i].references[0] for i in kept]), seed=seed)
        note = "first reference of each clip"
        metrics.append(Metric("CLAP score of references (ceiling)", first.mean, n, first.interval, COSINE, None, note))
    return embedded
