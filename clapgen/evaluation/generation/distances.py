"""Distances of the generated set to the references, its diversity, the nearest known sounds, and degenerate outputs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from clapgen.embedders.cache import Array
from clapgen.evaluation.context import row_of_path, try_metric
from clapgen.evaluation.generation.data import MOST_NAMED, Findings, GenerationData, SoundSet, column
from clapgen.metrics.embeddings.degenerate import degenerate_embeddings, degenerate_waveforms
from clapgen.metrics.embeddings.fad import (
    frechet_audio_distance,
    frechet_audio_distance_infinity,
    frechet_audio_distance_per_item,
)
from clapgen.metrics.embeddings.kad import kernel_audio_distance
from clapgen.metrics.embeddings.prdc import Novelty, diversity, novelty, precision_recall_density_coverage
from clapgen.report.model import Metric

NEAR_DUPLICATE = 0.95
SIMILAR = 0.90


def distances(data: GenerationData, nearest_k: int = 5, per_clip_fad: bool = False) -> Findings:
    """FAD, FAD-inf, KAD, precision, recall, density, coverage (with references), FAD per clip if wanted; diversity."""
    generated = data.distance_generated.embeddings
    if data.distance_reference is None:
        return Findings(_diversity(generated, None))
    reference = data.distance_reference.embeddings
    found = _fad_and_kad(generated, reference, data.context.seed)
    found += Findings(_manifold(generated, reference, _audible(data), nearest_k))
    if per_clip_fad:
        found += _per_clip_fad(data)
    return found + Findings(_diversity(generated, reference))


def _audible(data: GenerationData) -> npt.NDArray[np.bool_]:
    """(n,), false for generated clips that are silent, constant or white noise."""
    defects = dict(zip(data.generated.paths, data.generated.defects, strict=True))
    return np.array([defects[path] is None for path in data.distance_generated.paths])


def _fad_and_kad(generated: Array, reference: Array, seed: int) -> Findings:
    """Of (n, dim) against (m, dim)."""
    n, m, dim = len(generated), len(reference), generated.shape[1]
    settings, warnings = {}, []
    if 2 <= min(n, m) <= dim:
        warnings.append(
            f"FAD of {n} generated and {m} reference clips in {dim} dimensions is biased upwards; "
            "compare it only with FAD of the same counts, or use FAD-inf and KAD."
        )

    def infinity() -> Metric:
        found = frechet_audio_distance_infinity(generated, reference, seed=seed)
        note = f"R² {found.r_squared:.3f}, {len(found.sizes)} subsets of {found.sizes[0]} to {found.sizes[-1]} clips"
        return Metric("FAD-inf", found.value, n, None, "may fall below 0", False, note)

    def kernel() -> Metric:
        found = kernel_audio_distance(generated, reference)
        note = f"σ = {found.bandwidth:.4g}"
        settings["KAD bandwidth"] = f"σ = {found.bandwidth:.6g}, the median distance of the references"
        return Metric("KAD", found.value, n, None, f"MMD² × {found.scale:g}", False, note)

    about: dict[str, Any] = {"higher_is_better": False, "note": f"against {m} references"}
    metrics = [
        try_metric("FAD", n, lambda: frechet_audio_distance(generated, reference), scale="0 or more", **about),
        try_metric("FAD-inf", n, infinity, higher_is_better=False),
        try_metric("KAD", n, kernel, higher_is_better=False),
    ]
    return Findings(metrics, warnings=warnings, settings=settings)


def _manifold(generated: Array, reference: Array, audible: npt.NDArray[np.bool_], nearest_k: int) -> list[Metric]:
    """Silent outputs would fall inside large reference balls, so they are excluded explicitly."""
    note = f"k = {nearest_k}, against {len(reference)} references"
    if not audible.all():
        note += f"; the {len(audible) - audible.sum()} silent, constant or noise clips count as outside"
    about: dict[str, Any] = {"scale": "0 to 1", "higher_is_better": True, "note": note}
    shares: dict[str, float] = {}

    def share(name: str) -> float:
        if not audible.any() and len(generated) > nearest_k:
            return 0.0
        if not shares:
            scores = precision_recall_density_coverage(generated[audible], reference, nearest_k=nearest_k)
            shares.update(vars(scores))
        of_generated = name in ("precision", "density")
        return shares[name] * (float(audible.mean()) if of_generated else 1.0)

    metrics = []
    for name in ("precision", "recall", "density", "coverage"):
        scale = {"scale": "0 or more"} if name == "density" else {}
        metrics.append(try_metric(name.capitalize(), len(generated), partial(share, name), **{**about, **scale}))
    return metrics


def _diversity(generated: Array, reference: Array | None) -> list[Metric]:
    about: dict[str, Any] = {"scale": "mean Euclidean distance of pairs"}
    metrics = [try_metric("Diversity", len(generated), lambda: diversity(generated), higher_is_better=True, **about)]
    if reference is not None:
        name = "Diversity of the references"
        metrics.append(try_metric(name, len(reference), lambda: diversity(reference), **about))
    return metrics


def _per_clip_fad(data: GenerationData) -> Findings:
    assert data.distance_reference is not None
    items = data.distance_generated.frames
    values = frechet_audio_distance_per_item(items, np.concatenate(data.distance_reference.frames))
    row = row_of_path(data.generated.embedded)
    rows = [row[path] for path in data.distance_generated.paths]
    note = "of each clip's frames to the frames of all references"
    metric = Metric("FAD per clip, mean", float(values.mean()), len(items), None, "0 or more", False, note)
    return Findings([metric], {"FAD": column(rows, values.tolist())})


def nearest_sounds(data: GenerationData) -> Findings:
    """Cosine of each generated clip with the nearest training clip and the nearest reference; near-duplicates."""
    found = Findings()
    for name, others in (("training clip", data.training), ("reference", data.reference)):
        if others is not None:
            found += _nearest(data.generated, name, others)
    if data.training is None:
        note = "give --training MANIFEST to look for copies of training clips"
        return Findings([Metric("Nearest training clip", None, 0, scale="cosine", note=note)]) + found
    if data.reference is not None:
        held_out = novelty(data.reference.embeddings, data.training.embeddings).mean
        note = "for comparison: recordings that were not generated"
        name = "Nearest training clip of the references"
        found += Findings([Metric(name, held_out, len(data.reference), None, "cosine", None, note)])
    return found


def _nearest(generated: SoundSet, name: str, others: SoundSet) -> Findings:
    nearest = novelty(generated.embeddings, others.embeddings)
    note = (
        f"{nearest.share_above(SIMILAR):.1%} above {SIMILAR}, {nearest.share_above(NEAR_DUPLICATE):.1%} above "
        f"{NEAR_DUPLICATE}; 1 is a copy"
    )
    rows = range(len(generated))
    return Findings(
        [Metric(f"Nearest {name}", nearest.mean, len(generated), None, "cosine", None, note)],
        {
            f"nearest {name}": column(rows, [str(others.paths[index]) for index in nearest.neighbours]),
            f"cosine to it ({name})": column(rows, nearest.similarities.tolist()),
        },
        _duplicate_warnings(generated, name, others, nearest),
    )


def _duplicate_warnings(generated: SoundSet, name: str, others: SoundSet, nearest: Novelty) -> list[str]:
    near = nearest.near_duplicates(NEAR_DUPLICATE)
    if not near:
        return []
    pairs = [
        f"{generated.paths[one.generated].name} – {others.paths[one.training].name} {one.similarity:.3f}"
        for one in near[:MOST_NAMED]
    ]
    return [
        f"{len(near)} of {len(generated)} generated sounds are near-duplicates of a {name} (cosine above "
        f"{NEAR_DUPLICATE}): {', '.join(pairs)}{' and more' if len(near) > len(pairs) else ''}."
    ]


def degenerate_outputs(data: GenerationData) -> Findings:
    """Warnings about silent, constant, noise, identical or copied outputs; the column `defect`."""
    generated = data.generated
    reference = None if data.reference is None else data.reference.embeddings
    groups = [*degenerate_waveforms(generated.defects), *degenerate_embeddings(generated.embeddings, reference)]
    warnings = [f"{group.sentence} ({_names(generated, group.items)})." for group in groups]
    defects = [defect or "" for defect in generated.defects]
    return Findings(columns={"defect": column(range(len(defects)), defects)}, warnings=warnings)


def _names(sounds: SoundSet, rows: Sequence[int]) -> str:
    more = f" and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
    return ", ".join(sounds.paths[row].name for row in rows[:MOST_NAMED]) + more
