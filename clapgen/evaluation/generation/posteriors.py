"""What a zero-shot classifier hears in generations: KL to the references, inception score, the prompt's own label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from clapgen.embedders.cache import Array
from clapgen.errors import ClapgenError
from clapgen.evaluation.generation.sound_sets import Material
from clapgen.evaluation.setup import Setup, measured
from clapgen.metrics.embeddings.kl_inception import inception_score, mean_posterior_divergence, posterior_divergence
from clapgen.metrics.embeddings.zero_shot import DEFAULT_TEMPLATE, prompt_embeddings, zero_shot, zero_shot_probabilities
from clapgen.report.model import Metric

KL = "KL(ref‖gen)"

_ESC50 = (
    "airplane, breathing, brushing teeth, can opening, car horn, cat, chainsaw, chirping birds, church bells, "
    "clapping, clock alarm, clock tick, coughing, cow, crackling fire, crickets, crow, crying baby, dog, door wood "
    "creaks, door wood knock, drinking sipping, engine, fireworks, footsteps, frog, glass breaking, hand saw, "
    "helicopter, hen, insects, keyboard typing, laughing, mouse click, pig, pouring water, rain, rooster, sea "
    "waves, sheep, siren, sneezing, snoring, thunderstorm, toilet flush, train, vacuum cleaner, washing machine, "
    "water drops, wind"
)
ESC50_LABELS = [name.strip() for name in _ESC50.split(",")]


def posterior_figures(material: Material, labels: Sequence[str], template: str = DEFAULT_TEMPLATE) -> list[Metric]:
    """Inception score; with references KL(ref‖gen) of pairs and of the mean posteriors; accuracy where labels are."""
    generated = material.generated
    prompts = prompt_embeddings(material.setup.embed_texts, labels, [template])
    made = posteriors(material.setup, generated.embeddings, prompts)
    metrics = [
        measured(
            "Inception score",
            len(generated),
            lambda: _inception_score(made),
            scale=f"1 to {len(labels)}",
            higher_is_better=True,
            note="of the zero-shot posterior, over all clips at once",
        )
    ]
    if material.reference is not None:
        real = posteriors(material.setup, material.reference.embeddings, prompts)
        metrics += _divergences(material, real, made)
    return metrics + _accuracy(material, labels, prompts)


def _inception_score(posteriors: np.ndarray) -> float:
    if len(posteriors) < 2:
        raise ClapgenError("There is 1 generated clip: this measure needs at least 2, it is 1 for any one.")
    return inception_score(posteriors)


def posterior_labels(material: Material, given: Sequence[str] | None) -> tuple[list[str], str]:
    """The labels to hear, and where they are from: given, of the clips, or else ESC-50's."""
    if given:
        return list(given), "--labels"
    sounds = [*material.generated.sounds, *(material.reference.sounds if material.reference else [])]
    found = sorted({label.replace("_", " ") for sound in sounds for label in sound.labels})
    if len(found) > 1:
        return found, "the labels of prompts and references"
    return list(ESC50_LABELS), "ESC-50"


def posteriors(setup: Setup, audio: Array, prompts: np.ndarray) -> np.ndarray:
    """Softmax (n, labels) in float64 over the cosines times the model's logit scale."""
    scale = setup.logit_scale
    return zero_shot_probabilities(
        torch.from_numpy(audio).double(), torch.from_numpy(np.asarray(prompts)).double(), scale
    ).numpy()


def _divergences(material: Material, real: np.ndarray, made: np.ndarray) -> list[Metric]:
    about: dict[str, Any] = {"scale": "nats, 0 or more", "higher_is_better": False}
    rows = material.pair_rows()
    if material.pairs:
        divergence = posterior_divergence(real[rows[1]], made[rows[0]])
        material.fill(KL, rows[0], divergence.divergences.tolist())
        pairs = Metric(KL, divergence.mean, len(material.pairs), note="mean over pairs", **about)
    else:
        pairs = Metric(KL, None, 0, note="no generated file has the name of a reference", **about)
    mean = mean_posterior_divergence(real, made).mean
    return [pairs, Metric(f"{KL} of mean posteriors", mean, len(made), note="needs no pairs", **about)]


def _accuracy(material: Material, labels: Sequence[str], prompts: np.ndarray) -> list[Metric]:
    index = {label: position for position, label in enumerate(labels)}
    truth = {
        row: index[names[0]]
        for row, sound in enumerate(material.generated.sounds)
        if len(names := [label.replace("_", " ") for label in sound.labels]) == 1 and names[0] in index
    }
    if not truth:
        return []
    rows = list(truth)
    found = zero_shot(
        material.generated.embeddings[rows], prompts, list(truth.values()), labels, seed=material.setup.seed
    )
    material.fill("label", rows, [labels[truth[row]] for row in rows])
    material.fill("heard as", rows, [labels[position] for position in found.predicted])
    note = f"generations heard as the label of their prompt; chance {found.chance:.3f}"
    return [Metric("Zero-shot accuracy", found.top1, found.n, found.interval, "0 to 1", True, note)]
