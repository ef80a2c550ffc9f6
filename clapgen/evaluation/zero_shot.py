"""Zero-shot classification evaluated: accuracy for clips with one class, mAP for clips with several labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from clapgen.data.esc50 import read_esc50
from clapgen.data.manifest import Clip
from clapgen.data.text import DEFAULT_TEMPLATE, distinct_labels, label_key
from clapgen.embedders.cache import Array
from clapgen.errors import ClapgenError, nearest
from clapgen.evaluation.context import EvaluationContext, content_summary, row_of_path, skipped_files
from clapgen.evaluation.groups import group_metrics
from clapgen.evaluation.sounds import read_sounds, use_label_field
from clapgen.metrics.embeddings.clap_score import bootstrap_interval
from clapgen.metrics.embeddings.multi_label import multi_label_average_precision
from clapgen.metrics.embeddings.zero_shot import prompt_embeddings, zero_shot
from clapgen.report.model import Confusion, Metric, Report, Row, Skipped
from clapgen.wording.languages import LANGUAGES, TEMPLATES, check_language, has_held_out, translate
from clapgen.wording.misspelling import misspell


@dataclass
class _Results:
    """Metrics and tables of a classification or a tagging."""

    metrics: list[Metric]
    clips: list[Row]
    classes: list[Row]
    confusion: Confusion | None = None
    of_clips: dict[str, npt.NDArray[Any]] = field(default_factory=dict)  # metric to its values (clips,)


def evaluate_zero_shot(
    source: str | Path,
    context: EvaluationContext,
    *,
    label_field: str = "labels",
    templates: Sequence[str] | None = None,
    split: str | None = None,
    labels: Sequence[str] | None = None,
    language: str = "en",
    misspelt: bool = False,
    by: str | None = None,
) -> Report:
    """Classify clips by the nearest prompt.

    If all clips have one label, they are classified (accuracy, balanced accuracy, one row per class, confusion); if
    some have several, they are tagged (mAP). Clips without labels are ignored.

    Args:
        source: a manifest, or an ESC-50 folder (`meta/esc50.csv`, `audio/`), which gets metrics for each of five folds.
        label_field: key of the manifest that holds the class or the labels.
        templates: sentences with {label}; the embeddings of several are averaged. By default "This is a sound of
            {label}.", or its counterpart in `language`.
        split: only this split of the manifest; "val" of ESC-50 is fold 4.
        labels: the classes, if there are more than those of the clips.
        language: of the prompts: "en", or one of `clapgen.wording.languages.LANGUAGES`, into which the labels are
            translated. Where all of them have a second wording that no training uses (the classes of ESC-50 have), the
            accuracy with that one is reported too.
        misspelt: misspell a word of every label (`clapgen.wording.misspelling`), at random from the context's seed.
        by: also give the metrics of each group of clips (see `groups_of`).

    Raises:
        ClapgenError: no labels, an unknown label, no group, no file could be read; strict, and a file cannot be read; a
            label without translation.
    """
    if language != "en":
        check_language(language)
    templates = templates or [DEFAULT_TEMPLATE if language == "en" else TEMPLATES[language][0]]
    clips, missing = _labelled(Path(source), label_field, split)
    if missing:
        context.warn_or_raise(f"{missing[0]} is listed in meta/esc50.csv, but not in audio/.", "Complete the folder.")
    _prompt_words(clips, labels, language)  # a label that cannot be translated is an error before anything is embedded
    embedded = context.embed([clip.path for clip in clips], "Embedding")
    rows = row_of_path(embedded)
    clips = [clip for clip in clips if clip.path in rows]
    names, translated = _prompt_words(clips, labels, language)
    name_of = {label_key(name): name for name in names}
    grouped = clips
    clips = [replace(clip, labels=[name_of[label_key(label)] for label in clip.labels]) for clip in clips]
    several = any(len(clip.labels) > 1 for clip in clips)

    def spelt(words: Sequence[str]) -> list[str]:
        random = Random(context.seed)
        return [misspell(word, random) for word in words] if misspelt else list(words)

    def measure(words: Sequence[str]) -> _Results:
        prompts = prompt_embeddings(context.embed_texts, words, templates)
        return (_tagged if several else _classified)(clips, embedded.embeddings, prompts, names, context.seed)

    words = spelt(translated)
    results = measure(words)
    if language != "en" and all(map(has_held_out, names)):
        again = measure(spelt([translate(name, language, held_out=True) for name in names])).metrics[0]
        results.metrics.insert(
            1, replace(again, name=f"{again.name}, held-out wordings", note="wordings no training used")
        )
    is_esc50 = Path(source).is_dir()
    if is_esc50 and "accuracy" in results.of_clips:
        results.metrics += _folds(clips, results.of_clips["accuracy"])
    if by is not None:
        owners = range(len(clips))
        values = {name: (of_clips, owners) for name, of_clips in results.of_clips.items()}
        results.metrics += group_metrics(grouped, by, values, context.seed)
    chosen_by = "the category of ESC-50" if is_esc50 else f"'{label_field}'"
    settings = context.describe_model() | {
        "classes": f"{len(names)}, by {chosen_by}" + (f", split {split}" if split else ""),
        "content": content_summary(embedded),
        "templates": list(templates),
        **({"language": LANGUAGES[language]} if language != "en" else {}),
        **({"misspelt": "a word of every label of 4 or more letters"} if misspelt else {}),
        **({"prompts": "; ".join(words)} if words != names else {}),
        "seed": context.seed,
    }
    kind, unit = ("tagging", "labels") if several else ("classification", "classes")
    return context.report(
        "zero-shot",
        f"Zero-shot {kind}: {len(clips)} clips, {len(names)} {unit}",
        results.metrics,
        clips=results.clips,
        classes=results.classes,
        confusion=results.confusion,
        settings=settings,
        skipped=skipped_files(embedded)
        + [Skipped(name, "is listed in meta/esc50.csv, but not in audio/") for name in missing],
        lower_is_better=["rank"],
        sounds={str(clip.path) for clip in clips},
    )


def _labelled(source: Path, label_field: str, split: str | None) -> tuple[list[Clip], list[str]]:
    missing: list[str] = []
    if source.is_dir():
        if label_field != "labels":
            raise ClapgenError(f"--label-field {label_field}: {source} is not a manifest; ESC-50 has its own classes.")
        clips, missing = read_esc50(source)
        clips = [clip for clip in clips if split in (None, clip.split)]
    else:
        clips = use_label_field(read_sounds(source, split), label_field)
    labelled = [replace(clip, labels=distinct_labels(clip.labels)) for clip in clips if clip.labels]
    if not labelled:
        raise ClapgenError(
            f"no clip of {source} has '{label_field}'{f' in split {split}' if split else ''}; set --label-field to the "
            "key of the manifest that holds the class."
        )
    return labelled, missing


def _prompt_words(clips: Sequence[Clip], labels: Sequence[str] | None, language: str) -> tuple[list[str], list[str]]:
    """The classes, and what their prompts call them."""
    names = _names(clips, labels)
    return names, names if language == "en" else [translate(name, language) for name in names]


def _names(clips: Sequence[Clip], given: Sequence[str] | None) -> list[str]:
    found = sorted(distinct_labels(sorted(label for clip in clips for label in clip.labels)))
    if given is None:
        if len(found) < 2:
            raise ClapgenError(f"all clips are '{found[0]}': classification needs two classes; add more with --labels.")
        return found
    names = distinct_labels(given)
    known = set(map(label_key, names))
    for label in found:
        if label_key(label) not in known:
            raise ClapgenError(f"--labels lacks '{label}', which some clips have.{nearest(label, names)}")
    return names


def _classified(clips: Sequence[Clip], audio: Array, prompts: np.ndarray, names: list[str], seed: int) -> _Results:
    truth = np.array([names.index(clip.labels[0]) for clip in clips])
    found = zero_shot(audio, prompts, truth, names, seed=seed)
    note = f"chance {found.chance:.4f}"
    metrics = [Metric("accuracy", found.top1, found.n, found.interval, "0 to 1", True, note)]
    if found.top5 is not None:
        metrics.append(Metric("accuracy among the first 5", found.top5, found.n, None, "0 to 1", True))
    metrics.append(Metric("balanced accuracy", found.balanced, found.n, None, "0 to 1", True, "mean over classes"))
    margins = _margins(audio @ prompts.T, truth[:, None] == np.arange(len(names)))
    rows: list[Row] = [
        {"path": str(clip.path), "class": names[t], "predicted": names[p], "rank": int(rank), "margin": margin}
        for clip, t, p, rank, margin in zip(clips, truth, found.predicted, found.ranks, margins, strict=True)
    ]
    classes: list[Row] = [
        {"class": each.label, "n": each.n, "accuracy": each.top1, "first 5": each.top5} for each in found.classes
    ]
    return _Results(metrics, rows, classes, Confusion(names, found.confusion.tolist()), {"accuracy": found.ranks == 1})


def _folds(clips: Sequence[Clip], correct: npt.NDArray[np.bool_]) -> list[Metric]:
    """The accuracy that papers report for ESC-50: the mean over its folds."""
    folds = np.array([clip.extra["fold"] for clip in clips])
    present = np.unique(folds).tolist()
    if len(present) < 2:
        return []
    of_fold = {fold: correct[folds == fold] for fold in present}
    means = [float(values.mean()) for values in of_fold.values()]
    note = f"over folds {', '.join(map(str, present))}; std {np.std(means, ddof=1):.4f}"
    metrics = [Metric("mean accuracy of folds", float(np.mean(means)), len(clips), None, "0 to 1", True, note)]
    return metrics + [
        Metric(f"accuracy of fold {fold}", float(values.mean()), len(values), None, "0 to 1", True)
        for fold, values in of_fold.items()
    ]


def _margins(cosines: Array, own: np.ndarray) -> list[float]:
    """Cosine with the nearest of a clip's own prompts minus that with the nearest other; below 0 if misclassified."""
    return (np.where(own, cosines, -np.inf).max(1) - np.where(own, -np.inf, cosines).max(1)).tolist()


def _tagged(clips: Sequence[Clip], audio: Array, prompts: np.ndarray, names: list[str], seed: int) -> _Results:
    truth = np.array([[name in clip.labels for name in names] for clip in clips])
    found = multi_label_average_precision(audio, prompts, truth, names)
    cosines = audio @ prompts.T
    rows: list[Row] = [
        {
            "path": str(clip.path),
            "labels": "; ".join(clip.labels),
            "predicted": names[int(row.argmax())],
            "margin": own,
        }
        for clip, row, own in zip(clips, cosines, _margins(cosines, truth), strict=True)
    ]
    classes: list[Row] = [
        {"class": name, "n": int(n), "average precision": found.average_precisions.get(name)}
        for name, n in zip(names, truth.sum(0), strict=True)
    ]
    note = f"mean over {len(found.average_precisions)} labels; chance {found.chance:.4f}"
    of_clips = {"mAP@10 of the labels of a clip": found.of_clips, "accuracy of the first label": found.first_is_right}
    metrics = [Metric("mAP", found.mean, found.n, None, "0 to 1", True, note)]
    for name, values in of_clips.items():
        interval = bootstrap_interval(values.astype(np.float64), seed=seed) if found.n > 1 else None
        metrics.append(Metric(name, float(values.mean()), found.n, interval, "0 to 1", True))
    return _Results(metrics, rows, classes, of_clips=of_clips)
