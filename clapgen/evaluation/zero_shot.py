"""Zero-shot classification evaluated: accuracy of clips that have one class, mAP of those that have several labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clapgen.data.esc50 import read_esc50
from clapgen.embedders.cache import Array
from clapgen.errors import ClapgenError, nearest
from clapgen.evaluation.generation.evaluate import take_labels
from clapgen.evaluation.setup import Setup, content_hash, rows_of, skipped
from clapgen.evaluation.sounds import Sound, read_sounds
from clapgen.metrics.embeddings.multi_label import multi_label_average_precision
from clapgen.metrics.embeddings.zero_shot import DEFAULT_TEMPLATE, prompt_embeddings, zero_shot
from clapgen.report.model import Confusion, Metric, Report, Skipped


def evaluate_zero_shot(
    source: str | Path,
    setup: Setup,
    *,
    label_field: str = "labels",
    templates: Sequence[str] = (DEFAULT_TEMPLATE,),
    split: str | None = None,
    labels: Sequence[str] | None = None,
) -> Report:
    """Classify clips by the nearest prompt.

    Clips that all have one label are classified (accuracy, balanced accuracy, a row a class, confusion); where some
    have several they are tagged (mAP). Clips without labels are left out.

    Args:
        source: a manifest, or an ESC-50 folder (`meta/esc50.csv`, `audio/`), whose five folds have a figure each.
        label_field: key of the manifest that holds the class or the labels.
        templates: sentences with {label}; of several the embeddings are averaged.
        split: of the manifest; "val" of ESC-50 is fold 4.
        labels: the classes, where they are more than those of the clips.

    Raises:
        ClapgenError: no labels, an unknown label, nothing that can be read; strict, and a file cannot be read.
    """
    sounds, missing = _labelled(Path(source), label_field, split)
    if missing:
        setup.differ(f"{missing[0]} is named in meta/esc50.csv, but is not in audio/.", "Complete the folder.")
    embedded = setup.embed([sound.path for sound in sounds], "Embedding")
    rows = rows_of(embedded)
    kept = [sound for sound in sounds if sound.path in rows]
    names = _names(kept, labels)
    prompts = prompt_embeddings(setup.embed_texts, names, templates)
    settings = setup.text_model()
    by = "the category of ESC-50" if Path(source).is_dir() else f"'{label_field}'"
    settings["classes"] = f"{len(names)}, by {by}" + (f", split {split}" if split else "")
    settings["content"] = content_hash(embedded)
    settings["templates"] = list(templates)
    settings["seed"] = setup.seed
    several = any(len(sound.labels) > 1 for sound in kept)
    measure = _tagged if several else _classified
    parts = measure(kept, embedded.embeddings, prompts, names, setup.seed)
    right = parts.pop("right", None)
    if Path(source).is_dir() and right is not None:
        parts["metrics"] += _folds(kept, right)
    what = "tagging" if several else "classification"
    return setup.report(
        "zero-shot",
        f"Zero-shot {what}: {len(kept)} clips, {len(names)} {'labels' if several else 'classes'}",
        settings=settings,
        skipped=skipped(embedded) + [Skipped(name, "named in meta/esc50.csv, not in audio/") for name in missing],
        lower_is_better=["rank"],
        **parts,
    )


def _labelled(source: Path, label_field: str, split: str | None) -> tuple[list[Sound], list[str]]:
    missing: list[str] = []
    if source.is_dir():
        if label_field != "labels":
            raise ClapgenError(f"--label-field {label_field}: {source} is no manifest; ESC-50 has its own classes.")
        clips, missing = read_esc50(source)
        sounds = [
            Sound(c.path, c.path.stem, labels=c.labels, extra=dict(c.extra)) for c in clips if split in (None, c.split)
        ]
    else:
        sounds = read_sounds(source, split)
        take_labels(sounds, label_field)
    labelled = [sound for sound in sounds if sound.labels]
    if not labelled:
        raise ClapgenError(
            f"no clip of {source} has '{label_field}'{f' in split {split}' if split else ''}. Name the key of the "
            "manifest that holds the class with --label-field."
        )
    for sound in labelled:
        sound.labels = [label.replace("_", " ") for label in sound.labels]
    return labelled, missing


def _names(sounds: Sequence[Sound], given: Sequence[str] | None) -> list[str]:
    found = sorted({label for sound in sounds for label in sound.labels})
    if given is None:
        if len(found) < 2:
            raise ClapgenError(f"all clips are '{found[0]}': classification needs two classes; name more by --labels.")
        return found
    names = [label.replace("_", " ") for label in given]
    for label in found:
        if label not in names:
            raise ClapgenError(f"--labels lacks '{label}', which clips have.{nearest(label, names)}")
    return names


def _classified(
    sounds: Sequence[Sound], audio: Array, prompts: np.ndarray, names: list[str], seed: int
) -> dict[str, Any]:
    truth = np.array([names.index(sound.labels[0]) for sound in sounds])
    found = zero_shot(audio, prompts, truth, names, seed=seed)
    note = f"chance {found.chance:.4f}"
    metrics = [Metric("accuracy", found.top1, found.n, found.interval, "0 to 1", True, note)]
    if found.top5 is not None:
        metrics.append(Metric("accuracy among the first 5", found.top5, found.n, None, "0 to 1", True))
    metrics.append(Metric("balanced accuracy", found.balanced, found.n, None, "0 to 1", True, "mean over classes"))
    margins = _margins(audio @ prompts.T, truth[:, None] == np.arange(len(names)))
    clips = [
        {"path": str(sound.path), "class": names[t], "heard as": names[p], "rank": int(rank), "margin": margin}
        for sound, t, p, rank, margin in zip(sounds, truth, found.predicted, found.ranks, margins, strict=True)
    ]
    classes = [
        {"class": each.label, "n": each.n, "accuracy": each.top1, "first 5": each.top5} for each in found.classes
    ]
    return {
        "metrics": metrics,
        "right": found.ranks == 1,
        "clips": clips,
        "classes": classes,
        "confusion": Confusion(names, found.confusion.tolist()),
    }


def _folds(sounds: Sequence[Sound], right: np.ndarray) -> list[Metric]:
    """ESC-50's own figure: the mean over its folds."""
    folds = [sound.extra.get("fold") for sound in sounds]
    present = sorted({fold for fold in folds if isinstance(fold, int)})
    if len(present) < 2 or not all(isinstance(fold, int) for fold in folds):
        return []
    shares = {fold: right[[each == fold for each in folds]] for fold in present}
    means = [float(share.mean()) for share in shares.values()]
    note = f"over folds {', '.join(map(str, present))}; std {np.std(means, ddof=1):.4f}"
    metrics = [Metric("mean accuracy of folds", float(np.mean(means)), len(sounds), None, "0 to 1", True, note)]
    return metrics + [
        Metric(f"accuracy of fold {fold}", float(share.mean()), len(share), None, "0 to 1", True)
        for fold, share in shares.items()
    ]


def _margins(cosines: Array, own: np.ndarray) -> list[float]:
    """How much nearer the nearest of each clip's own prompts is than the nearest other; below 0 where misheard."""
    return (np.where(own, cosines, -np.inf).max(1) - np.where(own, -np.inf, cosines).max(1)).tolist()


def _tagged(sounds: Sequence[Sound], audio: Array, prompts: np.ndarray, names: list[str], seed: int) -> dict[str, Any]:
    truth = np.array([[name in sound.labels for name in names] for sound in sounds])
    found = multi_label_average_precision(audio, prompts, truth, names)
    counts = truth.sum(0)
    cosines = audio @ prompts.T
    clips = [
        {
            "path": str(sound.path),
            "labels": "; ".join(sound.labels),
            "heard as": names[int(row.argmax())],
            "margin": own,
        }
        for sound, row, own in zip(sounds, cosines, _margins(cosines, truth), strict=True)
    ]
    note = f"mean over {len(found.average_precisions)} labels; chance {found.chance:.4f}"
    return {
        "metrics": [Metric("mAP", found.mean, found.n, None, "0 to 1", True, note)],
        "clips": clips,
        "classes": [
            {"class": name, "n": int(counts[index]), "average precision": found.average_precisions.get(name)}
            for index, name in enumerate(names)
        ],
    }
