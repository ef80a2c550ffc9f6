"""Composition evaluated: match two sounds of the same events with two captions of the same words; audio entailment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from clapgen.data.tables import read_table
from clapgen.data.text import distinct_labels, label_key
from clapgen.errors import ClapgenError
from clapgen.evaluation.composed_sounds import embed_items
from clapgen.evaluation.composition_ladder import ComposedSounds, absence_metrics, ladder_metrics
from clapgen.evaluation.context import EvaluationContext, content_summary, row_of_path, skipped_files
from clapgen.evaluation.entailment import evaluate_entailment
from clapgen.evaluation.generation.data import waveform_facts
from clapgen.evaluation.sounds import read_sounds, use_label_field
from clapgen.metrics.embeddings.composition import CHANCE, CompositionScores, composition_scores, composition_similarity
from clapgen.metrics.embeddings.composition_items import order_items, overlap_items
from clapgen.report.model import Confusion, Metric, Report, Row, Skipped

NAMES = {
    "text": "text score",
    "audio": "audio score",
    "group": "group score",
    "accuracy": "accuracy",
}
PAIR_COLUMNS = {name: (name,) for name in ("audio_0", "caption_0", "audio_1", "caption_1")}


@dataclass
class _Part:
    """What one kind of test adds to the report."""

    metrics: list[Metric] = field(default_factory=list)
    clips: list[Row] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    confusion: Confusion | None = None
    sounds: list[Path] = field(default_factory=list)


def evaluate_composition(
    context: EvaluationContext,
    *,
    manifest: str | Path | None = None,
    pairs: str | Path | None = None,
    entailment: str | Path | None = None,
    entailment_dev: str | Path | None = None,
    label_field: str = "labels",
    split: str | None = None,
    items: int = 200,
    ladder: bool = False,
    unseen: Sequence[str] = (),
) -> Report:
    """CompA scores of given pairs; order, overlap and absence tests of labelled clips; audio entailment.

    Args:
        manifest: clips with one label each; two or three of different classes are joined and mixed into `items` items
            of each kind, drawn with the context's seed.
        pairs: a table with `audio_0`, `caption_0`, `audio_1`, `caption_1`; files are relative to it.
        entailment, entailment_dev: tables with `path`, `hypothesis` and `label` (entailment, neutral, contradiction);
            the thresholds are fitted on the second.
        label_field: key of the manifest that holds the class.
        split: only the clips of this split of the manifest.
        ladder: also climb the ladder of zero-shot tasks (`evaluation.composition_ladder`).
        unseen: classes that the model was not trained on; the last rung of the ladder is about these alone.

    Raises:
        ClapgenError: nothing to do, or an input cannot be used; strict, and a file cannot be read.
    """
    if manifest is None and pairs is None and entailment is None:
        raise ClapgenError("nothing to evaluate; give a manifest of labelled clips, --pairs or --entailment.")
    if (entailment is None) != (entailment_dev is None):
        raise ClapgenError("--entailment and --entailment-dev belong together: thresholds are fitted on the second.")
    if manifest is None and (split is not None or label_field != "labels"):
        raise ClapgenError("--split and --label-field select clips of a manifest; give one.")
    if (ladder and manifest is None) or (unseen and not ladder):
        raise ClapgenError("--ladder needs a manifest of labelled clips, and --unseen needs --ladder.")
    parts = []
    # first: the clips are inspected when they are decoded, and the pairs may use the same files
    composed = (
        [] if manifest is None else [_composed_items(manifest, context, label_field, split, items, ladder, unseen)]
    )
    if pairs is not None:
        parts.append(_given_pairs(Path(pairs), context))
    parts += composed
    if entailment is not None and entailment_dev is not None:
        parts.append(_entailment(Path(entailment), Path(entailment_dev), context))
    settings = context.describe_model()
    for part in parts:
        settings |= part.settings
    rows = [row for part in parts for row in part.clips]
    columns = dict.fromkeys(column for row in rows for column in row)
    return context.report(
        "composition",
        "Composition: order, overlap and entailment of sounds",
        [metric for part in parts for metric in part.metrics],
        clips=[{column: row.get(column) for column in columns} for row in rows],
        settings=settings | {"seed": context.seed},
        warnings=[warning for part in parts for warning in part.warnings],
        skipped=[skipped for part in parts for skipped in part.skipped],
        confusion=next((part.confusion for part in parts if part.confusion), None),
        sounds={str(path) for part in parts for path in part.sounds},  # not those of pairs, which a table names
    )


def _given_pairs(path: Path, context: EvaluationContext) -> _Part:
    rows = read_table(path, PAIR_COLUMNS, files=("audio_0", "audio_1"))
    files = [[row.path(f"audio_{side}", path.parent) for side in (0, 1)] for row in rows]
    embedded = context.embed(list(dict.fromkeys(file for pair in files for file in pair)), "Embedding pairs")
    row_of = row_of_path(embedded)
    complete = [index for index, pair in enumerate(files) if set(pair) <= row_of.keys()]
    if not complete:
        raise ClapgenError(f"no pair of {path} has both of its sounds.")
    sounds = [files[index] for index in complete]
    captions = [(rows[index].cells["caption_0"], rows[index].cells["caption_1"]) for index in complete]
    audio = embedded.embeddings[[row_of[file] for pair in sounds for file in pair]]
    similarity = composition_similarity(audio, context.embed_texts([caption for pair in captions for caption in pair]))
    scores = composition_scores(similarity, seed=context.seed)
    return _Part(
        _metrics("pairs", scores),
        _rows("pairs", sounds, captions, scores, similarity),
        {"content of pairs": content_summary(embedded)},
        skipped_files(embedded),
    )


def _composed_items(
    manifest: str | Path,
    context: EvaluationContext,
    label_field: str,
    split: str | None,
    count: int,
    ladder: bool,
    unseen: Sequence[str],
) -> _Part:
    clips = use_label_field(read_sounds(manifest, split, context.notes), label_field)
    single = [clip for clip in clips if len(clip.labels) == 1]
    names = {label_key(name): name for name in distinct_labels(clip.labels[0] for clip in single)}
    label_of = {clip.path: names[label_key(clip.labels[0])] for clip in single}
    if not label_of:
        raise ClapgenError(
            f"no clip of {manifest} has exactly one label in '{label_field}'; set --label-field to the class's key."
        )
    # embedded to find out which clips can be read and are audible; often cached by other evaluations of these clips
    readable = context.embed(list(label_of), "Reading", inspect=waveform_facts)
    defects = [facts["defect"] for facts in readable.facts]
    silent = [Skipped(str(path), f"is {why}") for path, why in zip(readable.paths, defects, strict=True) if why]
    audible = [index for index, defect in enumerate(defects) if defect is None]
    labels = [label_of[readable.paths[index]] for index in audible]
    part = _Part(skipped=skipped_files(readable) + silent, sounds=readable.paths)
    if len(set(labels)) < 2 and part.skipped:
        first = part.skipped[0]
        raise ClapgenError(
            f"{len(audible)} of {len(label_of)} clips can be used, of {len(set(labels))} classes; two classes are "
            f"needed. The first that cannot: {first.path}: {first.reason}"
        )
    seed, seconds = context.seed, _window_seconds(context)
    kinds = {
        "order": order_items(labels, count, seed=seed),
        "overlap, one exchanged": overlap_items(labels, count, kind="exchanged", seed=seed),
        "overlap, one added": overlap_items(labels, count, kind="added", seed=seed),
    }
    sounds = ComposedSounds(readable, audible, labels, seconds, count)
    for kind, items in kinds.items():
        # items are drawn among the audible clips; from here on they are numbered among all readable ones
        items = [replace(item, clips=tuple(audible[clip] for clip in item.clips)) for item in items]
        captions = [item.captions for item in items]
        audio = embed_items(items, readable, context, kind, seconds)
        sounds.composed[kind] = items, audio
        text = context.embed_texts([caption for pair in captions for caption in pair])
        similarity = composition_similarity(audio, text)
        scores = composition_scores(similarity, seed=seed)
        part.metrics += _metrics(kind, scores)
        files = [[readable.paths[clip] for clip in item.clips] for item in items]
        part.clips += _rows(kind, files, captions, scores, similarity)
    part.metrics += absence_metrics(sounds, context)
    if ladder:
        part.metrics += ladder_metrics(sounds, context, unseen)
    part.settings["items"] = f"{count} of each kind from {len(audible)} clips of {len(set(labels))} classes"
    part.settings["length of an item"] = f"{seconds:g} s, the model's window"
    part.settings["content of clips"] = content_summary(readable)
    return part


def _entailment(path: Path, dev: Path, context: EvaluationContext) -> _Part:
    found = evaluate_entailment(path, dev, context)
    settings = {
        "entailment thresholds": found.thresholds,
        "content of entailment pairs": content_summary(found.embedded[1]),
    }
    return _Part(found.metrics, found.clips, settings, skipped_files(*found.embedded), found.warnings, found.confusion)


def _window_seconds(context: EvaluationContext) -> float:
    """A model that averages windows can only tell the order of events within one window."""
    window = getattr(context.clap, "window", 5 * context.clap.sample_rate)
    return float(window / context.clap.sample_rate)


def _metrics(kind: str, scores: CompositionScores) -> list[Metric]:
    return [
        Metric(
            f"{kind}: {name}",
            getattr(scores, key),
            scores.n,
            scores.intervals[key] if scores.intervals else None,
            "0 to 1",
            True,
            f"chance {CHANCE[key]:.3f}",
        )
        for key, name in NAMES.items()
    ]


def _rows(
    kind: str,
    sounds: Sequence[Sequence[Path]],
    captions: Sequence[tuple[str, str]],
    scores: CompositionScores,
    similarity: np.ndarray,
) -> list[Row]:
    """`margin`: how much closer both sounds are to their own captions, on average; below 0 they are confused."""
    margins = (similarity[:, 0, 0] + similarity[:, 1, 1] - similarity[:, 0, 1] - similarity[:, 1, 0]) / 2
    return [
        {
            "path": str(files[0]),
            "second sound": str(files[1]),
            "third sound": str(files[2]) if len(files) > 2 else None,
            "test": kind,
            "caption": first,
            "other caption": second,
            "margin": float(margin),
            **{name: int(right) for name, right in zip(("text", "audio", "group"), correct, strict=True)},
        }
        for files, (first, second), margin, correct in zip(sounds, captions, margins, scores.correct, strict=True)
    ]
