"""Generations evaluated: do they follow their prompts, are they like real sounds, are they varied, are they new."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clapgen.embedders import Embedder
from clapgen.embedders.cache import Embedded
from clapgen.errors import ClapgenError, nearest
from clapgen.evaluation.generation.alignment import alignment_figures
from clapgen.evaluation.generation.distances import (
    distance_figures,
    diversity_figures,
    floor_warnings,
    novelty_figures,
    per_clip_distance,
)
from clapgen.evaluation.generation.posteriors import KL, posterior_figures, posterior_labels
from clapgen.evaluation.generation.sound_sets import Material, SoundSet, gather, load_training
from clapgen.evaluation.setup import Setup, describe, skipped
from clapgen.evaluation.sounds import Sound, attach_prompts, attach_sidecars, read_sounds
from clapgen.metrics.embeddings.zero_shot import DEFAULT_TEMPLATE
from clapgen.report.model import Report


def evaluate_generation(
    generated: str | Path,
    setup: Setup,
    *,
    reference: str | Path | None = None,
    prompts: str | Path | None = None,
    training: str | Path | None = None,
    labels: Sequence[str] | None = None,
    template: str = DEFAULT_TEMPLATE,
    label_field: str | None = None,
    split: str | None = None,
    embedder: Embedder | None = None,
    nearest_k: int = 5,
    per_clip_fad: bool = False,
) -> Report:
    """Everything that can be said of generated sounds.

    Args:
        generated: a folder, a manifest or a file of generated sounds.
        reference: a folder or manifest of real sounds; those of `split` if it names splits.
        prompts: see `attach_prompts`; without it, sidecars of `clapgen generate` and captions of a manifest.
        training: a folder or manifest of what the generator was trained on, to look for copies; of a manifest with a
            split "train" only that one.
        labels: what the zero-shot posterior knows; else the labels of prompts and references, else ESC-50's.
        template: the sentence that a label is put into.
        label_field: key of the manifest that holds a clip's class, instead of "labels".
        embedder: of FAD, KAD, precision, recall, density, coverage and diversity; the CLAP if None.
        nearest_k: of precision, recall, density and coverage.
        per_clip_fad: measure the FAD of every clip's frames too.

    Raises:
        ClapgenError: what was given cannot be used; nothing could be read; strict, and anything is amiss.
    """
    if reference is None and (split or per_clip_fad):
        option = "--split chooses among" if split else "--per-clip-fad is a distance to"
        raise ClapgenError(f"{option} the sounds of --reference; give one.")
    made = read_sounds(generated)
    real = None if reference is None else read_sounds(reference, split)
    take_labels([*made, *(real or [])], label_field)
    warnings = attach_prompts(made, prompts) if prompts is not None else []
    for warning in warnings:
        setup.differ(warning, "Complete the prompts.")
    if prompts is None:
        attach_sidecars(made)
    material = gather(made, real, setup, max(each.sample_rate for each in (setup.clap, embedder) if each is not None))
    material.warnings[:0] = warnings
    learned = None if training is None else load_training(training, material)
    names, origin = posterior_labels(material, labels)
    settings = _settings(material, embedder or setup.clap, names, origin, template)
    if learned is not None:
        settings["training clips"] = learned.summary
    metrics = alignment_figures(material)
    metrics += _distribution(material, embedder, settings, nearest_k, per_clip_fad)
    metrics += posterior_figures(material, names, template)
    metrics += novelty_figures(material, learned)
    floors = floor_warnings(material)
    count = f"{len(material.generated)} generated sounds"
    against = f" against {len(material.reference)} references" if material.reference else ""
    return setup.report(
        "generation",
        f"Generation: {count}{against}",
        metrics,
        clips=_clips(material),
        settings=settings,
        warnings=floors + material.warnings,
        skipped=material.skipped + (skipped(learned.embedded) if learned else []),
        lower_is_better=[KL, "FAD"],
    )


def take_labels(sounds: Sequence[Sound], field: str | None) -> None:
    """Replace the labels of a manifest's clips by what one of its keys says; those that lack it have none.

    Raises:
        ClapgenError: no clip of a manifest has the key, or it holds something else than text.
    """
    if field is None or field == "labels":
        return
    keys = {key for sound in sounds for key in sound.extra}
    if field not in keys:
        raise ClapgenError(
            f"no clip of a manifest has '{field}'.{nearest(field, keys)} Name the key that holds the class with "
            "--label-field."
        )
    for sound in sounds:
        value = sound.extra.get(field)
        labels = [value] if isinstance(value, str) else (value or [])
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise ClapgenError(f"{sound.path}: '{field}' in the manifest must be text or a list of it, not {value!r}.")
        sound.labels = labels


def _distribution(
    material: Material, embedder: Embedder | None, settings: dict[str, Any], nearest_k: int, per_clip_fad: bool
) -> list[Any]:
    """Distances and diversity on the embedder's own embeddings."""
    made = _embedded_by(embedder, material.generated, "generated", material)
    if material.reference is None:
        return diversity_figures(made.embeddings, None)
    real = _embedded_by(embedder, material.reference, "references", material)
    defects = dict(zip(material.generated.paths, material.generated.defects, strict=True))
    sounding = np.array([defects[path] is None for path in made.paths])
    metrics = distance_figures(material, made.embeddings, real.embeddings, sounding, settings, nearest_k)
    if per_clip_fad:
        metrics += per_clip_distance(material, embedder or material.setup.clap)
    return metrics + diversity_figures(made.embeddings, real.embeddings)


def _embedded_by(embedder: Embedder | None, sounds: SoundSet, what: str, material: Material) -> Embedded:
    """By another embedder than the CLAP, if one is given; what is too short for it is told as skipped."""
    if embedder is None:
        return sounds.embedded
    label = f"Embedding {what} by {embedder.name}"
    embedded = material.setup.embed(sounds.paths, label, embedder, material.rates.band_limit)
    material.skipped += skipped(embedded)
    return embedded


def _settings(
    material: Material, embedder: Embedder, labels: Sequence[str], origin: str, template: str
) -> dict[str, Any]:
    settings = material.setup.text_model()
    if embedder is not material.setup.clap:
        settings["distances by"] = "; ".join(str(value) for value in describe(embedder).values())
    sets = {"generated": material.generated, "reference": material.reference}
    settings["content"] = {name: each.summary for name, each in sets.items() if each is not None}
    settings["sample rates"] = material.rates.summary
    limit = material.rates.band_limit
    settings["band limit"] = "none" if limit is None else f"{limit} Hz, both sets"
    if material.reference is not None:
        settings["pairs"] = f"{len(material.pairs)}, by name"
    settings["posterior"] = (
        f"softmax over {len(labels)} labels ({origin}), template '{template}', "
        f"temperature {1 / material.setup.logit_scale:.4g}; KL in the direction reference ‖ generated"
    )
    settings["seed"] = material.setup.seed
    return settings


def _clips(material: Material) -> list[dict[str, Any]]:
    columns = material.columns
    return [
        {"path": str(sound.path), **{name: cells[index] for name, cells in columns.items()}}
        for index, sound in enumerate(material.generated.sounds)
    ]
