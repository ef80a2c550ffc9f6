"""Composition evaluated: which of two captions of the same words is whose, and does a sentence follow from a sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from clapgen.data.tables import read_table
from clapgen.errors import ClapgenError
from clapgen.evaluation.entailment import evaluate_entailment
from clapgen.evaluation.generation.evaluate import take_labels
from clapgen.evaluation.generation.sound_sets import waveform_facts
from clapgen.evaluation.made_items import embed_items
from clapgen.evaluation.setup import Setup, content_hash, rows_of, skipped
from clapgen.evaluation.sounds import read_sounds
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
class _Parts:
    """What the parts of a composition report add to it."""

    metrics: list[Metric]
    clips: list[Row]
    settings: dict[str, Any]
    skipped: list[Skipped] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    confusion: Confusion | None = None


def evaluate_composition(
    setup: Setup,
    *,
    manifest: str | Path | None = None,
    pairs: str | Path | None = None,
    entailment: str | Path | None = None,
    entailment_dev: str | Path | None = None,
    label_field: str = "labels",
    split: str | None = None,
    items: int = 200,
) -> Report:
    """CompA scores of given pairs, order and overlap tests made from labelled clips, audio entailment.

    Args:
        manifest: clips that have one label each; two or three of different classes are joined and mixed to `items`
            items of each kind, drawn by the setup's seed.
        pairs: a table with `audio_0`, `caption_0`, `audio_1`, `caption_1`; files are relative to it.
        entailment, entailment_dev: tables with `path`, `hypothesis` and `label` (entailment, neutral, contradiction);
            the thresholds are fitted on the second.
        label_field: key of the manifest that holds the class.
        split: of the manifest.

    Raises:
        ClapgenError: nothing to do, or what was given cannot be used; strict, and a file cannot be read.
    """
    if manifest is None and pairs is None and entailment is None:
        raise ClapgenError("nothing to evaluate; give a manifest of labelled clips, --pairs or --entailment.")
    if (entailment is None) != (entailment_dev is None):
        raise ClapgenError("--entailment and --entailment-dev belong together: thresholds are fitted on the second.")
    if manifest is None and (split is not None or label_field != "labels"):
        raise ClapgenError("--split and --label-field choose among the clips of a manifest; give one.")
    parts = _Parts([], [], setup.text_model())
    if pairs is not None:
        _given_pairs(Path(pairs), setup, parts)
    if manifest is not None:
        _made_items(manifest, setup, parts, label_field, split, items)
    if entailment is not None and entailment_dev is not None:
        part = evaluate_entailment(Path(entailment), Path(entailment_dev), setup)
        parts.metrics += part.metrics
        parts.clips += part.clips
        parts.confusion = part.confusion
        parts.warnings += part.warnings
        parts.skipped += skipped(*part.embedded)
        parts.settings["entailment thresholds"] = part.thresholds
        parts.settings["content of entailment pairs"] = content_hash(part.embedded[1])
    parts.settings["seed"] = setup.seed
    columns = dict.fromkeys(column for row in parts.clips for column in row)
    return setup.report(
        "composition",
        "Composition: order, overlap and entailment of sounds",
        parts.metrics,
        clips=[{column: row.get(column) for column in columns} for row in parts.clips],
        settings=parts.settings,
        warnings=parts.warnings,
        skipped=parts.skipped,
        confusion=parts.confusion,
    )


def _given_pairs(path: Path, setup: Setup, parts: _Parts) -> None:
    rows = read_table(path, PAIR_COLUMNS)
    files = [row.path(f"audio_{side}", path.parent) for row in rows for side in (0, 1)]
    embedded = setup.embed(list(dict.fromkeys(files)), "Embedding pairs")
    at = rows_of(embedded)
    kept = [
        row for row, first, second in zip(rows, files[::2], files[1::2], strict=True) if {first, second} <= at.keys()
    ]
    if not kept:
        raise ClapgenError(f"no pair of {path} has both of its sounds.")
    audio = embedded.embeddings[[at[row.path(f"audio_{side}", path.parent)] for row in kept for side in (0, 1)]]
    text = setup.embed_texts([row.cells[f"caption_{side}"] for row in kept for side in (0, 1)])
    similarity = composition_similarity(audio, text)
    scores = composition_scores(similarity, seed=setup.seed)
    parts.metrics += _figures("pairs", scores)
    sounds = [[row.path(f"audio_{side}", path.parent) for side in (0, 1)] for row in kept]
    captions = [(row.cells["caption_0"], row.cells["caption_1"]) for row in kept]
    parts.clips += _rows("pairs", sounds, captions, scores, similarity)
    parts.skipped += skipped(embedded)
    parts.settings["content of pairs"] = content_hash(embedded)


def _made_items(
    manifest: str | Path, setup: Setup, parts: _Parts, label_field: str, split: str | None, count: int
) -> None:
    sounds = read_sounds(manifest, split)
    take_labels(sounds, label_field)
    single = [sound for sound in sounds if len(sound.labels) == 1]
    if not single:
        raise ClapgenError(
            f"no clip of {manifest} has exactly one label in '{label_field}'; name the key of the class by "
            "--label-field."
        )
    # embedded to know what can be read and heard: other evaluations of the same clips have done it already
    readable = setup.embed([sound.path for sound in single], "Reading", inspect=waveform_facts)
    label_of = {sound.path: sound.labels[0] for sound in single}
    defects = [facts["defect"] for facts in readable.facts]
    unheard = [Skipped(str(path), f"is {why}") for path, why in zip(readable.paths, defects, strict=True) if why]
    loud = [index for index, defect in enumerate(defects) if defect is None]
    labels = [label_of[readable.paths[index]] for index in loud]
    seed = setup.seed
    kinds = {
        "order": order_items(labels, count, seed=seed),
        "overlap, one exchanged": overlap_items(labels, count, kind="exchanged", seed=seed),
        "overlap, one added": overlap_items(labels, count, kind="added", seed=seed),
    }
    seconds = _window_seconds(setup)
    for kind, items in kinds.items():
        # numbered among all that were read, of which those that sound are drawn
        items = [replace(item, clips=tuple(loud[clip] for clip in item.clips)) for item in items]
        captions = [item.captions for item in items]
        audio = embed_items(items, readable, setup, kind, seconds)
        text = setup.embed_texts([caption for pair in captions for caption in pair])
        similarity = composition_similarity(audio, text)
        scores = composition_scores(similarity, seed=seed)
        parts.metrics += _figures(kind, scores)
        made_of = [[readable.paths[clip] for clip in item.clips] for item in items]
        parts.clips += _rows(kind, made_of, captions, scores, similarity)
    parts.settings["items"] = f"{count} of each kind from {len(loud)} clips of {len(set(labels))} classes"
    parts.settings["length of an item"] = f"{seconds:g} s, the model's window"
    parts.settings["content of clips"] = content_hash(readable)
    parts.skipped += skipped(readable) + unheard


def _window_seconds(setup: Setup) -> float:
    """A model that averages windows can tell the order only of what lies within one."""
    window = getattr(setup.clap, "window", 5 * setup.clap.sample_rate)
    return float(window / setup.clap.sample_rate)


def _figures(kind: str, scores: CompositionScores) -> list[Metric]:
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
    """`margin`: how much nearer both sounds are to their own captions, on average; below 0 they are mixed up."""
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
