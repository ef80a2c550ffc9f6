"""How far generations as a set are from references and from one another, and whether they were copied."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from clapgen.embedders import Embedder
from clapgen.embedders.cache import Array, embed_frames
from clapgen.evaluation.generation.sound_sets import MOST_NAMED, Material, SoundSet
from clapgen.evaluation.setup import measured
from clapgen.metrics.embeddings.degenerate import embedding_floors, waveform_floors
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


def distance_figures(
    material: Material,
    made: Array,
    real: Array,
    sounding: npt.NDArray[np.bool_],
    settings: dict[str, Any],
    nearest_k: int = 5,
) -> list[Metric]:
    """FAD, FAD-inf, KAD, precision, recall, density and coverage of (n, dim) against (m, dim).

    `sounding` (n,) is false of what is silent, constant or white noise.
    """
    n, seed = len(made), material.setup.seed
    if 2 <= min(n, len(real)) <= made.shape[1]:
        material.warnings.append(
            f"FAD of {n} generated and {len(real)} reference clips in {made.shape[1]} dimensions is biased upwards; "
            "compare it only with figures of the same counts, or by FAD-inf and KAD."
        )

    def infinity() -> Metric:
        found = frechet_audio_distance_infinity(made, real, seed=seed)
        note = f"R² {found.r_squared:.3f}, {len(found.sizes)} subsets of {found.sizes[0]} to {found.sizes[-1]} clips"
        return Metric("FAD-inf", found.value, n, None, "may fall below 0", False, note)

    def kernel() -> Metric:
        found = kernel_audio_distance(made, real)
        settings["KAD bandwidth"] = f"σ = {found.bandwidth:.6g}, the median distance of the references"
        return Metric("KAD", found.value, n, None, f"MMD² × {found.scale:g}", False, f"σ = {found.bandwidth:.4g}")

    versus = f"against {len(real)} references"
    metrics = [
        measured(
            "FAD", n, lambda: frechet_audio_distance(made, real), scale="0 or more", higher_is_better=False, note=versus
        ),
        measured("FAD-inf", n, infinity, higher_is_better=False),
        measured("KAD", n, kernel, higher_is_better=False),
    ]
    return metrics + _manifold_figures(made, real, sounding, nearest_k)


def _manifold_figures(made: Array, real: Array, sounding: npt.NDArray[np.bool_], nearest_k: int) -> list[Metric]:
    """Silence lies within the ball of any reference that has no near neighbour: it is outside of all by decree."""
    note = f"k = {nearest_k}, against {len(real)} references"
    if not sounding.all():
        note += f"; the {len(sounding) - sounding.sum()} silent, constant or noise count as outside"
    about: dict[str, Any] = {"scale": "0 to 1", "higher_is_better": True, "note": note}
    shares: dict[str, float] = {}

    def share(name: str) -> float:
        if not sounding.any() and len(made) > nearest_k:
            return 0.0
        if not shares:
            shares.update(vars(precision_recall_density_coverage(made[sounding], real, nearest_k=nearest_k)))
        of_generated = name in ("precision", "density")
        return shares[name] * (float(sounding.mean()) if of_generated else 1.0)

    metrics = []
    for name in ("precision", "recall", "density", "coverage"):
        scale = {"scale": "0 or more"} if name == "density" else {}
        metrics.append(measured(name.capitalize(), len(made), partial(share, name), **{**about, **scale}))
    return metrics


def diversity_figures(made: Array, real: Array | None) -> list[Metric]:
    """Mean distance within the generations, and within the references to compare it with."""
    about: dict[str, Any] = {"scale": "mean Euclidean distance of pairs"}
    metrics = [measured("Diversity", len(made), lambda: diversity(made), higher_is_better=True, **about)]
    if real is not None:
        metrics.append(measured("Diversity of the references", len(real), lambda: diversity(real), **about))
    return metrics


def per_clip_distance(material: Material, embedder: Embedder) -> list[Metric]:
    """FAD of each generation's own frames to those of all references."""
    assert material.reference is not None
    tables = []
    for what, sounds in (("generated", material.generated), ("references", material.reference)):
        with material.setup.progress(len(sounds), f"Embedding frames of {what}") as advance:
            tables.append(
                embed_frames(
                    sounds.paths,
                    embedder,
                    material.setup.cache,
                    band_limit=material.rates.band_limit,
                    advance=advance,
                )
            )
    made = [tables[0][path] for path in material.generated.paths]
    values = frechet_audio_distance_per_item(made, np.concatenate(list(tables[1].values())))
    material.fill("FAD", range(len(made)), values.tolist())
    note = "of each clip's frames to the frames of all references"
    return [Metric("FAD per clip, mean", float(values.mean()), len(made), None, "0 or more", False, note)]


def novelty_figures(material: Material, training: SoundSet | None) -> list[Metric]:
    """Cosine of each generation with the nearest training clip and with the nearest reference; near-duplicates."""
    made, metrics = material.generated.embeddings, []
    others = [("training clip", training), ("reference", material.reference)]
    for name, against in others:
        if against is None:
            continue
        found = novelty(made, against.embeddings)
        _report_nearest(material, name, against, found)
        note = (
            f"{found.share_above(SIMILAR):.1%} above {SIMILAR}, {found.share_above(NEAR_DUPLICATE):.1%} above "
            f"{NEAR_DUPLICATE}; 1 is a copy"
        )
        metrics.append(Metric(f"Nearest {name}", found.mean, len(made), None, "cosine", None, note))
    if training is None:
        note = "give --training MANIFEST to look for copies of what the generator learned from"
        metrics.insert(0, Metric("Nearest training clip", None, 0, scale="cosine", note=note))
    elif material.reference is not None:
        held_out = novelty(material.reference.embeddings, training.embeddings)
        note = "what recordings that were not generated reach"
        metrics.append(
            Metric(
                "Nearest training clip of the references",
                held_out.mean,
                len(material.reference),
                None,
                "cosine",
                None,
                note,
            )
        )
    return metrics


def floor_warnings(material: Material) -> list[str]:
    """What is silent, constant, noise, all one or copied, as sentences."""
    generated = material.generated
    defects = generated.defects
    material.fill("defect", range(len(defects)), [defect or "" for defect in defects])
    reference = None if material.reference is None else material.reference.embeddings
    floors = [*waveform_floors(defects), *embedding_floors(generated.embeddings, reference)]
    return [floor.sentence + _named([generated.paths[index].name for index in floor.items]) for floor in floors]


def _report_nearest(material: Material, name: str, against: SoundSet, found: Novelty) -> None:
    rows = range(len(found.similarities))
    material.fill(f"nearest {name}", rows, [str(against.paths[index]) for index in found.neighbours])
    material.fill(f"cosine to it ({name})", rows, found.similarities.tolist())
    near = found.near_duplicates(NEAR_DUPLICATE)
    if near:
        pairs = [
            f"{material.generated.paths[one.generated].name} – {against.paths[one.training].name} {one.similarity:.3f}"
            for one in near[:MOST_NAMED]
        ]
        material.warnings.append(
            f"{len(near)} of {len(found.similarities)} generations are near-duplicates of a {name} (cosine above "
            f"{NEAR_DUPLICATE}): {', '.join(pairs)}{' and more' if len(near) > len(pairs) else ''}."
        )


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f" Namely {', '.join(names[:MOST_NAMED])}{more}."
