"""Zero-shot class posteriors of generated sounds: KL to the references, inception score, accuracy on the labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from clapgen.data.esc50 import ESC50_LABELS
from clapgen.data.text import DEFAULT_TEMPLATE, distinct_labels, label_key
from clapgen.embedders.cache import Array
from clapgen.evaluation.context import EvaluationContext, try_metric
from clapgen.evaluation.generation.data import MOST_NAMED, Findings, GenerationData, column
from clapgen.metrics.embeddings.base import NotMeasurable
from clapgen.metrics.embeddings.kl_inception import inception_score, mean_posterior_divergence, posterior_divergence
from clapgen.metrics.embeddings.zero_shot import prompt_embeddings, zero_shot, zero_shot_probabilities
from clapgen.report.model import Metric

KL = "KL(ref‖gen)"


def posteriors(data: GenerationData, labels: Sequence[str], template: str = DEFAULT_TEMPLATE) -> Findings:
    """Inception score; KL(ref‖gen) of pairs and of mean posteriors, with references; accuracy, with labels."""
    context, generated = data.context, data.generated
    prompts = prompt_embeddings(context.embed_texts, labels, [template])
    posterior = _posterior(context, generated.embeddings, prompts)
    score = try_metric(
        "Inception score",
        len(generated),
        lambda: _inception_score(posterior),
        scale=f"1 to {len(labels)}",
        higher_is_better=True,
        note="of the zero-shot posterior, over all clips at once",
    )
    found = Findings([score])
    if data.reference is not None:
        found += _divergences(data, _posterior(context, data.reference.embeddings, prompts), posterior)
    return found + _accuracy(data, labels, prompts)


def posterior_labels(data: GenerationData, given: Sequence[str] | None) -> tuple[list[str], str]:
    """The classes and where they come from: as given, or those of the clips, or else ESC-50's."""
    if given:
        return distinct_labels(given), "--labels"
    clips = [*data.generated.clips, *(data.reference.clips if data.reference else [])]
    found = sorted(distinct_labels(sorted(label for clip in clips for label in clip.labels)))
    if len(found) > 1:
        return found, "the labels of prompts and references"
    return list(ESC50_LABELS), "ESC-50"


def _inception_score(posterior: np.ndarray) -> float:
    if len(posterior) < 2:
        raise NotMeasurable("There is 1 generated clip: this metric needs at least 2; of a single clip it is always 1.")
    return inception_score(posterior)


def _posterior(context: EvaluationContext, audio: Array, prompts: np.ndarray) -> np.ndarray:
    """Softmax (n, labels) in float64 of the cosines times the model's logit scale."""
    scale = context.logit_scale
    return zero_shot_probabilities(
        torch.from_numpy(audio).double(), torch.from_numpy(np.asarray(prompts)).double(), scale
    ).numpy()


def _divergences(data: GenerationData, reference: np.ndarray, generated: np.ndarray) -> Findings:
    about: dict[str, Any] = {"scale": "nats, 0 or more", "higher_is_better": False}
    mean = mean_posterior_divergence(reference, generated).mean
    of_means = Metric(f"{KL} of mean posteriors", mean, len(generated), note="needs no pairs", **about)
    if not data.pairs:
        note = "no generated file has the name of a reference"
        return Findings([Metric(KL, None, 0, note=note, **about), of_means])
    rows, references = data.paired_rows
    divergence = posterior_divergence(reference[references], generated[rows])
    metric = Metric(KL, divergence.mean, len(data.pairs), note="mean over pairs", **about)
    return Findings([metric, of_means], {KL: column(rows, divergence.divergences.tolist())})


def _accuracy(data: GenerationData, labels: Sequence[str], prompts: np.ndarray) -> Findings:
    index = {label_key(label): position for position, label in enumerate(labels)}
    truth: dict[int, int] = {}
    unknown: list[str] = []
    for row, clip in enumerate(data.generated.clips):
        if len(clip.labels) != 1:
            continue
        position = index.get(label_key(clip.labels[0]))
        if position is None:
            unknown.append(clip.labels[0])
        else:
            truth[row] = position
    warnings = _unknown_labels(data, unknown, len(truth))
    if not truth:
        return Findings(warnings=warnings)
    rows = list(truth)
    audio = data.generated.embeddings[rows]
    found = zero_shot(audio, prompts, list(truth.values()), labels, seed=data.context.seed)
    note = f"generated sounds classified as the label of their prompt; chance {found.chance:.3f}"
    return Findings(
        [Metric("Zero-shot accuracy", found.top1, found.n, found.interval, "0 to 1", True, note)],
        {
            "label": column(rows, [labels[truth[row]] for row in rows]),
            "predicted": column(rows, [labels[position] for position in found.predicted]),
        },
        warnings,
    )


def _unknown_labels(data: GenerationData, unknown: Sequence[str], known: int) -> list[str]:
    """A warning about labels of generated clips that are not among the classes."""
    if not unknown:
        return []
    names = distinct_labels(unknown)
    named = ", ".join(f"'{name}'" for name in names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
    warning = (
        f"{len(unknown)} of {len(unknown) + known} labelled generated clips have a label that is not among the classes "
        f"({named}): they are not part of the zero-shot accuracy."
    )
    return [data.context.warn_or_raise(warning, "Add the labels to --labels.")]
