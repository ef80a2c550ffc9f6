"""Composition evaluated: which of two captions of the same words is whose, and does a sentence follow from a sound."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clapgen.audio import read_audio
from clapgen.errors import ClapgenError
from clapgen.evaluation.generation import take_labels
from clapgen.evaluation.material import waveform_facts
from clapgen.evaluation.report import Confusion, Figure, Report, Row
from clapgen.evaluation.setup import Setup, rows_of, skipped
from clapgen.evaluation.sounds import Sound, read_sounds
from clapgen.evaluation.tables import TableRow, read_table
from clapgen.file_identity import worker_count
from clapgen.metrics.clap_score import paired_cosines
from clapgen.metrics.composition import CHANCE, CompositionScores, composition_scores, composition_similarity
from clapgen.metrics.composition_items import CompositionItem, order_items, overlap_items
from clapgen.metrics.entailment import LABELS, audio_entailment, fit_thresholds

NAMES = {
    "text": "text score",
    "audio": "audio score",
    "group": "group score",
    "accuracy": "accuracy",
}
ITEMS_PER_BATCH = 16
PAIR_COLUMNS = {name: (name,) for name in ("audio_0", "caption_0", "audio_1", "caption_1")}
ENTAILMENT_COLUMNS = {
    "path": ("path", "file_name", "file", "audio"),
    "text": ("hypothesis", "text", "caption"),
    "label": ("label",),
}


@dataclass
class _Parts:
    """What the parts of a composition report add to it."""

    figures: list[Figure]
    clips: list[Row]
    settings: dict[str, Any]
    skipped: list[Any]
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
    parts = _Parts([], [], setup.text_model(), [])
    if pairs is not None:
        _given_pairs(Path(pairs), setup, parts)
    if manifest is not None:
        _made_items(manifest, setup, parts, label_field, split, items)
    if entailment is not None and entailment_dev is not None:
        _entailment(Path(entailment), Path(entailment_dev), setup, parts)
    parts.settings["seed"] = setup.seed
    return setup.report(
        "composition",
        "Composition: order, overlap and entailment of sounds",
        parts.figures,
        clips=parts.clips,
        settings=parts.settings,
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
    parts.figures += _figures("pairs", scores)
    sounds = [[row.path(f"audio_{side}", path.parent) for side in (0, 1)] for row in kept]
    captions = [(row.cells["caption_0"], row.cells["caption_1"]) for row in kept]
    parts.clips += _rows("pairs", sounds, captions, scores, similarity)
    parts.skipped += skipped(embedded)


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
    audible = {path for path, facts in zip(readable.paths, readable.facts, strict=True) if not facts["defect"]}
    loud = [sound for sound in single if sound.path in audible]
    labels = [sound.labels[0] for sound in loud]
    seed = setup.seed
    kinds = {
        "order": order_items(labels, count, seed=seed),
        "overlap, one exchanged": overlap_items(labels, count, kind="exchanged", seed=seed),
        "overlap, one added": overlap_items(labels, count, kind="added", seed=seed),
    }
    seconds = _window_seconds(setup)
    for kind, items in kinds.items():
        similarity = _similarity(items, loud, setup, kind, seconds)
        scores = composition_scores(similarity, seed=seed)
        parts.figures += _figures(kind, scores)
        made_of = [[loud[clip].path for clip in item.clips] for item in items]
        parts.clips += _rows(kind, made_of, [item.captions for item in items], scores, similarity)
    parts.settings["items"] = f"{count} of each kind from {len(loud)} clips of {len(set(labels))} classes"
    parts.settings["length of an item"] = f"{seconds:g} s, the model's window"
    parts.skipped += skipped(readable)


def _similarity(
    items: Sequence[CompositionItem], sounds: Sequence[Sound], setup: Setup, what: str, seconds: float
) -> np.ndarray:
    rate = setup.clap.sample_rate
    tables = []
    with setup.progress(len(items), f"Making {what}") as advance, ThreadPoolExecutor(worker_count()) as pool:

        def make(item: CompositionItem) -> tuple[np.ndarray, np.ndarray]:
            return item.waveforms([read_audio(sounds[index].path, rate)[0] for index in item.clips], rate, seconds)

        for start in range(0, len(items), ITEMS_PER_BATCH):
            batch = items[start : start + ITEMS_PER_BATCH]
            made = [waveform for pair in pool.map(make, batch) for waveform in pair]
            with torch.no_grad():
                tables.append(setup.clap.embed_audio(made, rate).float().cpu().numpy())
            advance(len(batch))
    text = setup.embed_texts([caption for item in items for caption in item.captions])
    return composition_similarity(np.concatenate(tables), text)


def _window_seconds(setup: Setup) -> float:
    """A model that averages windows can tell the order only of what lies within one."""
    window = getattr(setup.clap, "window", 5 * setup.clap.sample_rate)
    return float(window / setup.clap.sample_rate)


def _figures(kind: str, scores: CompositionScores) -> list[Figure]:
    return [
        Figure(
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


def _entailment(path: Path, dev: Path, setup: Setup, parts: _Parts) -> None:
    cosines, labels = _judged(dev, setup, parts)
    thresholds = fit_thresholds(cosines, labels)
    cosines, labels = _judged(path, setup, parts)
    found = audio_entailment(cosines, labels, thresholds, seed=setup.seed)
    note = f"always the commonest label reaches {found.majority:.3f}"
    parts.figures.append(Figure("entailment: accuracy", found.accuracy, found.n, found.interval, "0 to 1", True, note))
    parts.figures.append(Figure("entailment: macro F1", found.macro_f1, found.n, None, "0 to 1", True))
    parts.figures += [
        Figure(f"entailment: F1 of {label}", value, found.n, None, "0 to 1", True) for label, value in found.f1.items()
    ]
    parts.confusion = Confusion(list(LABELS), found.confusion.tolist())
    parts.settings["entailment thresholds"] = (
        f"contradiction below {thresholds.low:.4f}, entailment from {thresholds.high:.4f} on; fitted for macro F1 on "
        f"{thresholds.n} pairs of {dev}, where they reach {thresholds.score:.3f}"
    )


def _judged(path: Path, setup: Setup, parts: _Parts) -> tuple[np.ndarray, list[str]]:
    rows: list[TableRow] = read_table(path, ENTAILMENT_COLUMNS)
    files = [row.path("path", path.parent) for row in rows]
    embedded = setup.embed(list(dict.fromkeys(files)), "Embedding")
    at = rows_of(embedded)
    kept = [(row, file) for row, file in zip(rows, files, strict=True) if file in at]
    audio = embedded.embeddings[[at[file] for _, file in kept]]
    cosines = paired_cosines(audio, setup.embed_texts([row.cells["text"] for row, _ in kept]))
    parts.skipped += skipped(embedded)
    return cosines, [row.cells["label"].lower() for row, _ in kept]
